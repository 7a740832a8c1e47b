"""A card is brought to another release or model: it keeps what it renders now, is compared with it
afterwards, and goes back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from heliostat.v1 import node_service_pb2 as node_pb
from heliostat.v1 import types_pb2 as types_pb
from node_agent.models import write_manifest
from node_agent.releases.catalog import running_release
from node_agent.render.child import ChildOptions
from node_agent.render.testcard import TestCardRenderer
from tests.fixtures.acting_child import ANOTHER_STACK, HANGING_UP, OF_ITS_MODEL, act
from tests.fixtures.paper_model import build_paper_model
from tests.node.test_agent_standing import PAUSED, Stage

SAME_STACK = f"Card.stack_id = {TestCardRenderer.stack_id!r}\n"
NOW, NEXT, LATER = running_release(), "9.9.9", "10.0"


class Card:
    """A card whose agent is started anew, with whatever release."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.stage = Stage(folder)
        self._monkeypatch = monkeypatch
        self._asked = 0

    async def start(self, release: str = NOW, acting: str = "", **settings: object) -> None:
        """End its agent, if it has one, and start that of this release, whose child acts so."""
        await self.stage.close()
        outfit = self.stage.farm.outfit
        self.stage = Stage(self.folder)
        self.stage.farm.outfit = outfit
        act(self._monkeypatch, acting)
        self._monkeypatch.setattr("node_agent.outfit.running_release", lambda: release)
        await self.stage.start(**{"kept": self.folder / "kept", **settings})

    async def ready_for(self, release: str) -> None:
        self.stage.farm.outfit = node_pb.Outfit(release=release)
        await self.stage.farm.until("readiness", lambda: self.report.ready_for == release)

    async def examined(self) -> node_pb.Examination:
        self._asked += 1
        return await self.stage.farm.examination(self._asked)

    @property
    def report(self) -> node_pb.CardReport:
        return self.stage.farm.card

    @property
    def kept(self) -> dict[str, bytes]:
        return {path.stem: path.read_bytes() for path in (self.folder / "kept").iterdir()}


@pytest.fixture
async def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Card]:
    card = Card(tmp_path, monkeypatch)
    yield card
    await card.stage.close()


async def test_a_card_says_what_it_runs_and_what_it_could_run(card: Card) -> None:
    for name in ("0.3.0", ".0.4.0.partial", "without-python"):
        (card.folder / "releases" / name / "bin").mkdir(parents=True)
    python = card.folder / "releases" / "0.3.0" / "bin" / "python"
    python.touch(mode=0o755)
    (card.folder / "releases" / "latest").symlink_to("0.3.0")
    await card.start(releases=card.folder / "releases")
    assert card.report.release == NOW
    assert [(each.version, each.python) for each in card.report.releases] == [
        ("0.3.0", str(python))
    ]
    assert card.report.ready_for == ""


async def test_a_card_is_ready_once_it_has_kept_what_it_renders_now(card: Card) -> None:
    await card.start()
    assert not (card.folder / "kept").exists()
    await card.ready_for(NEXT)
    assert list(card.kept) == [NOW]
    card.stage.farm.outfit = node_pb.Outfit(release=NOW)
    await card.stage.farm.until("its end", lambda: card.report.ready_for == "")


async def test_a_card_at_rest_waits_with_it(card: Card) -> None:
    await card.start()
    card.stage.farm.standing = PAUSED
    card.stage.farm.outfit = node_pb.Outfit(release=NEXT)
    heard = len(card.stage.farm.heard)
    await card.stage.farm.until("exchanges", lambda: len(card.stage.farm.heard) > heard + 3)
    assert not (card.folder / "kept").exists()


@pytest.mark.parametrize(
    ("acting", "passed", "equal", "psnr_db"),
    [
        (ANOTHER_STACK.format(mask=0), True, True, None),
        (ANOTHER_STACK.format(mask=1), True, False, pytest.approx(48.13, abs=0.01)),
        (ANOTHER_STACK.format(mask=64), False, False, pytest.approx(12.01, abs=0.01)),
        # the same stack id, and another picture
        (ANOTHER_STACK.format(mask=1) + SAME_STACK, False, False, pytest.approx(48.13, abs=0.01)),
    ],
)
async def test_the_next_release_is_compared_with_the_one_before(
    card: Card, acting: str, passed: bool, equal: bool, psnr_db: float | None
) -> None:
    await card.start()
    stack = card.report.stack_id
    await card.ready_for(NEXT)
    await card.start(NEXT, acting)
    found = await card.examined()
    assert (found.passed, found.equal) == (passed, equal), found.detail
    assert (found.psnr_db if found.HasField("psnr_db") else None) == psnr_db
    assert found.stack_id == card.report.stack_id
    assert (card.report.stack_id == stack) is (SAME_STACK in acting)


async def test_a_release_that_cannot_render_fails_with_its_reason(card: Card) -> None:
    await card.start()
    await card.ready_for(NEXT)
    await card.start(NEXT, HANGING_UP)
    found = await card.examined()
    assert not found.passed
    assert "illegal memory access" in found.detail


async def test_a_release_that_renders_wrongly_does_not_become_the_measure_on_the_way_back(
    card: Card,
) -> None:
    await card.start()
    await card.ready_for(NEXT)
    before = card.kept
    await card.start(NEXT, ANOTHER_STACK.format(mask=64))
    await card.ready_for(NOW)
    assert card.kept == before
    await card.start(NOW)
    found = await card.examined()
    assert (found.passed, found.equal) == (True, True), found.detail


async def test_the_one_after_next_is_compared_with_the_next(card: Card) -> None:
    await card.start()
    await card.ready_for(NEXT)
    await card.start(NEXT, ANOTHER_STACK.format(mask=64))
    await card.ready_for(LATER)
    assert list(card.kept) == [NEXT]
    await card.start(LATER, ANOTHER_STACK.format(mask=64))
    assert (await card.examined()).equal


class TestModel:
    @pytest.fixture
    async def models(self, card: Card) -> dict[str, str]:
        """Digests by name: of the node's own model, of another one, and of one that is damaged."""
        digests = {}
        for seed, name in enumerate(("own", "other", "damaged")):
            directory = build_paper_model(card.folder / "models" / name, seed=seed)
            digests[name] = write_manifest(directory, name=name, revision="1").digest
        (card.folder / "models" / "damaged" / "model_index.json").unlink()
        own = ChildOptions(renderer="testcard", model=card.folder / "models" / "own")
        await card.start(acting=OF_ITS_MODEL, child=own, models=card.folder / "models")
        assert card.report.model_digest == digests["own"]
        return digests

    async def test_a_card_changes_and_goes_back(self, card: Card, models: dict[str, str]) -> None:
        farm, digest = card.stage.farm, models["other"]
        farm.outfit = node_pb.Outfit(model_digest=digest)
        await farm.until("the other model", lambda: card.report.model_digest == digest)
        assert card.report.condition == "ready"
        assert set(card.report.models) == {"other", digest}
        changing = [
            heard.card
            for heard in farm.heard
            if heard.card.condition == f"changing to model {digest[:12]}"
        ]
        assert {each.model_digest for each in changing} == {models["own"]}, "it says what it had"
        assert not any(heard.capacity for heard in farm.heard if heard.card in changing)
        assert farm.heard[-1].telemetry.child_restarts == 0, "nothing broke"
        assert (await card.examined()).passed
        farm.outfit = node_pb.Outfit()
        await farm.until("its own", lambda: card.report.model_digest == models["own"])
        assert set(card.report.models) == {"own", models["own"]}

    async def test_an_agent_that_starts_anew_changes_again(
        self, card: Card, models: dict[str, str]
    ) -> None:
        card.stage.farm.outfit = node_pb.Outfit(model_digest=models["other"])
        await card.stage.farm.until(
            "the other model", lambda: card.report.model_digest == models["other"]
        )
        own = ChildOptions(renderer="testcard", model=card.folder / "models" / "own")
        await card.start(acting=OF_ITS_MODEL, child=own, models=card.folder / "models")
        await card.stage.farm.until(
            "the other model", lambda: card.report.model_digest == models["other"]
        )

    @pytest.mark.parametrize("name", ["damaged", "nowhere"])
    async def test_a_model_that_is_not_whole_here_is_not_taken(
        self, card: Card, models: dict[str, str], name: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        digest, farm = models.get(name, "f" * 64), card.stage.farm
        before = card.stage.pid
        farm.outfit = node_pb.Outfit(model_digest=digest)
        await farm.until("its words", lambda: digest in caplog.text)
        heard = len(farm.heard)
        await farm.until("exchanges", lambda: len(farm.heard) > heard + 3)
        assert (card.stage.pid, card.report.condition) == (before, "ready")
        assert farm.heard[-1].capacity > 0

    async def test_what_is_held_is_finished_first(self, card: Card, models: dict[str, str]) -> None:
        farm = card.stage.farm
        spec = types_pb.ClipSpec(prompt="a fox", frames=33, width=64, height=64, fps=24)
        order = node_pb.ClipOrder(spec=spec, name="fox")
        farm.wanted = [node_pb.Lease(clip_id="clip", attempt=1, order=order)]
        await farm.until("the clip", lambda: farm.heard[-1].held)
        farm.outfit = node_pb.Outfit(model_digest=models["other"])
        heard = len(farm.heard)
        await farm.until("exchanges", lambda: len(farm.heard) > heard + 3)
        assert (card.report.model_digest, card.report.condition) == (models["own"], "ready")
        farm.wanted = []
        await farm.until("the change", lambda: card.report.model_digest == models["other"])
