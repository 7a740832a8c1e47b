"""A clip of any mode on its way through gateway and agent: all that was asked reaches the child,
and all that was measured reaches ledger and sidecar, whichever card finishes it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from farm.domain.spec import PromptMark as FarmMark
from farm.gateway.settings import GatewaySettings
from farm.objects.s3 import S3ObjectStore
from farm.plan.policy import Policy
from heliostat.v1 import node_service_pb2 as node_pb
from node_agent.engine import Inbox
from node_agent.files import sha256_of_file
from node_agent.render.child import ChildOptions
from node_agent.render.messages import ChunkDone, FileRecord, Report, Start
from node_agent.render.renderer import LoraUse, PromptMark
from tests.fixtures.gateway import TOKEN, Rig, submission
from tests.fixtures.object_store import embedded_store, object_store  # noqa: F401 - fixtures
from tests.node.test_agent_link import Cards, FaultyLink, SystemClock, no_fault
from tests.node.test_sidecar import SCHEMA

EMBEDDINGS = b"the prompts' embeddings"
STEERED = (PromptMark(chunk=1, prompt="It looks up.", blend_chunks=2),)


@pytest.fixture
async def cards(
    tmp_path: Path,
    object_store: S3ObjectStore,  # noqa: F811 - the fixture
) -> AsyncIterator[Cards]:
    settings = GatewaySettings(
        api_token=TOKEN, bucket=object_store.settings.bucket, inputs=(str(tmp_path / "in"),)
    )
    (tmp_path / "in").mkdir()
    rig = Rig(tmp_path, objects=object_store, clock=SystemClock(), settings=settings)
    async with rig:
        rig.link.coordinator.policy = Policy(lease_seconds=600.0, exchange_seconds=1.0)
        cards = Cards(rig, tmp_path / "spool")
        yield cards
        await cards.stop_all()


class Measured:
    """An agent whose child, a test card, reports what one with a model on a GPU does."""

    def __init__(self, cards: Cards, card_id: str, directory: Path, **settings: Any) -> None:
        self.link: FaultyLink = cards.start(
            card_id, no_fault, inputs=[str(directory / "in")], **settings
        )
        self.starts: list[Start] = []
        self.given: list[bytes] = []
        """Contents of the embeddings' files that starts came with."""
        self._engine = cards.agent(card_id)._engine
        self._start, self._take = self._engine.start, self._engine._take
        self._engine.start = self._begin  # type: ignore[method-assign]
        self._engine._take = self._measure  # type: ignore[method-assign]

    async def _begin(self, start: Start, inbox: Inbox) -> None:
        self.starts.append(start)
        if start.embeddings is not None:
            self.given.append(Path(start.embeddings).read_bytes())
        await self._start(start, inbox)

    def _measure(self, report: Report) -> None:
        if isinstance(report, ChunkDone):
            report = replace(report, energy_joules=100.25, lanes=2)
            if report.chunk == 0:
                path = Path(report.segment.path).with_name("embeddings.safetensors")
                path.write_bytes(EMBEDDINGS)
                digest = sha256_of_file(path)
                embeddings = FileRecord(path=str(path), size=len(EMBEDDINGS), sha256=digest)
                report = replace(report, embeddings=embeddings)
            else:
                report = replace(report, steered=STEERED)
        self._take(report)


async def submit(rig: Rig, **row: str) -> str:
    whole = {"id": "one", "prompt": "a fox", "frames": "165", "size": "64x64", "seed": "5", **row}
    answer = await rig.batches.Submit(submission([whole]))
    assert not answer.problems
    return answer.batch.batch_id


async def sidecar_of(cards: Cards, batch_id: str) -> dict[str, Any]:
    await cards.wait_until_done(batch_id)
    (row,) = cards.rig.ledger.clips(batch_id, limit=9)
    assert row.take is not None
    content = json.loads(cards.rig.objects.get(row.take.sidecar.key))
    jsonschema.validate(content, SCHEMA)
    return content


async def test_all_that_a_row_asks_reaches_child_and_sidecar(cards: Cards, tmp_path: Path):
    (tmp_path / "in" / "fox.png").write_bytes(b"a fox")
    batch_id = await submit(
        cards.rig,
        image=f"{tmp_path}/in/fox.png",
        schedule="2: It wakes.",
        lora="film:0.5",
        skip_first_chunk="yes",
        amplify_first_chunk="no",
        image_noise="0.1-0.2",
        quality="draft",
    )
    agent = Measured(cards, "node-0", tmp_path)
    sidecar = await sidecar_of(cards, batch_id)
    (start,) = agent.starts
    spec = start.spec
    assert (spec.image, spec.video) == (f"{tmp_path}/in/fox.png", "")
    assert spec.schedule == (PromptMark(chunk=2, prompt="It wakes.", blend_chunks=3),)
    assert spec.loras == (LoraUse(name="film", scale=0.5),)
    assert (spec.skip_first_chunk, spec.amplify_first_chunk) == (True, False)
    assert (spec.image_noise, spec.video_noise) == ((0.1, 0.2), (0.111, 0.135))
    assert spec.quality == "draft"
    assert (sidecar["mode"], "video" in sidecar) == ("interactive", False)
    assert sidecar["image"] == {
        "name": "fox.png",
        "sha256": hashlib.sha256(b"a fox").hexdigest(),
    }
    assert sidecar["schedule"] == [{"chunk": 2, "prompt": "It wakes.", "blend_chunks": 3}]
    assert sidecar["loras"] == [{"name": "film", "scale": 0.5}]
    assert (sidecar["image_noise"], "video_noise" in sidecar) == ([0.1, 0.2], False)


async def test_an_object_is_fetched_for_the_child(cards: Cards, tmp_path: Path):
    cards.rig.objects.put("in/before.mp4", b"a video", "video/mp4")
    bucket = cards.rig.settings.bucket
    batch_id = await submit(cards.rig, video=f"s3://{bucket}/in/before.mp4")
    agent = Measured(cards, "node-0", tmp_path)
    sidecar = await sidecar_of(cards, batch_id)
    path = Path(agent.starts[0].spec.video)
    assert path.is_relative_to(tmp_path / "spool")
    assert sidecar["video"]["name"] == "before.mp4"
    assert sidecar["video"]["sha256"] == hashlib.sha256(b"a video").hexdigest()
    await cards.wait_until_nothing_is_held(agent.link)
    assert not path.exists(), "it is gone with its attempt"


async def test_another_card_goes_on_with_what_the_first_one_recorded(cards: Cards, tmp_path: Path):
    batch_id = await submit(cards.rig, skip_first_chunk="yes")
    Measured(cards, "node-0", tmp_path, seconds_per_chunk=0.3)

    def recorded() -> int:
        return cards.rig.ledger.progress([batch_id])[batch_id].chunks_done

    await cards.wait_for("two recorded chunks", lambda: recorded() >= 2)
    await cards.stop("node-0")
    cards.rig.link.coordinator.lost("node-0", *lost_incarnation(cards), "killed")
    second = Measured(cards, "node-1", tmp_path)
    sidecar = await sidecar_of(cards, batch_id)
    assert second.starts[0].resume_chunk >= 2
    assert second.given == [EMBEDDINGS]
    chunks = sidecar["chunks"]
    assert {chunk["card_id"] for chunk in chunks} == {"node-0", "node-1"}
    assert [chunk["energy_joules"] for chunk in chunks] == [100.25] * 5
    assert sidecar["energy_joules"] == 5 * 100.25
    assert [chunk["lanes"] for chunk in chunks] == [2] * 5
    assert [chunk["profile"] for chunk in chunks] == ["exact"] * 5
    mark = {"chunk": 1, "prompt": "It looks up.", "blend_chunks": 2}
    assert [chunk["steered"] for chunk in chunks] == [[], *[[mark]] * 4]
    rows = cards.rig.ledger.chunks(f"{batch_id}-00001")
    assert [row.steered for row in rows][1] == (FarmMark(1, "It looks up.", 2),)
    assert [stored.kind for stored in rows[0].objects] == ["segment", "init", "embeddings"]


async def test_a_file_that_is_not_there_fails_the_clip_with_its_name(cards: Cards, tmp_path: Path):
    """On two cards, for it might be there on another; no card renders anything."""
    batch_id = await submit(cards.rig, image=f"{tmp_path}/in/cat.png")
    agents = [Measured(cards, f"node-{n}", tmp_path) for n in range(2)]

    def failed() -> bool:
        (row,) = cards.rig.ledger.clips(batch_id, limit=9)
        return row.clip.state == "failed"

    await cards.wait_for("the clip's end", failed)
    (row,) = cards.rig.ledger.clips(batch_id, limit=9)
    assert f"{tmp_path}/in/cat.png cannot be read on this node: No such file" in row.clip.reason
    assert [agent.starts for agent in agents] == [[], []]


async def test_a_card_with_lanes_takes_as_many_clips(cards: Cards, tmp_path: Path):
    child = ChildOptions(renderer="testcard", lanes=4)
    assert child.arguments()[-2:] == ["--lanes", "4"]
    link = cards.start("node-0", no_fault, child=child, prefetch=2)

    def capacity() -> int:
        return node_pb.ExchangeRequest.FromString(link.requests[-1]).capacity

    await cards.wait_for("the child", lambda: link.requests and capacity())
    assert capacity() == 4 + 2


def lost_incarnation(cards: Cards) -> list[str]:
    """The incarnation that holds the only lease."""
    return sorted(set(cards.leases.values()))
