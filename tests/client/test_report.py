"""A batch's report tells what the ledger holds, in one file that needs nothing else."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner

from farm.cli.app import app
from farm.client import Farm, working
from farm.client.report import Sources, alike, evenly, gather
from farm.client.report_view import ROWS_MAX, report_page
from farm.client.times import timestamp
from farm.objects.s3 import S3ObjectStore
from heliostat.v1 import node_service_pb2 as node_pb
from heliostat.v1 import types_pb2 as types
from tests.client.conftest import RunningFarm
from tests.fixtures.browser import chromium
from tests.fixtures.gateway import TOKEN
from tests.fixtures.object_store import embedded_store, object_store  # noqa: F401 - fixtures
from tests.fixtures.report_sources import DONE, MADE_AT, sources
from tests.fixtures.simulated_card import SimulatedCard
from tests.media.conftest import write_film

VOID = {"meta", "img", "br", "hr", "input", "link"}
EVIL = '<script>alert(1)</script> & "quotes" </td>'


class Page(HTMLParser):
    """What is in a page, once it is well formed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [
            v or "" for k, v in attrs if k in ("href", "src", "action", "xlink:href")
        ]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += f"{data} "


def checked(text: str) -> Page:
    """A page that is well formed, runs nothing and asks nobody."""
    page = Page(text)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert all(address.startswith("data:") for address in page.addresses)
    assert not re.search(r"url\(|@import|https?://", text)
    return page


def tile(page: Page, name: str) -> str:
    """What stands in a tile."""
    words = " ".join(page.text.split())
    assert name in words
    return words.partition(f"{name} ")[2]


class TestOfAFarm:
    @pytest.fixture
    def running(
        self,
        tmp_path: Path,
        object_store: S3ObjectStore,  # noqa: F811 - the fixture
    ) -> Iterator[RunningFarm]:
        (tmp_path / "farm").mkdir()
        running = RunningFarm(tmp_path / "farm", objects=object_store)
        try:
            yield running
        finally:
            running.close()

    @pytest.fixture
    def batch_id(self, running: RunningFarm, tmp_path: Path) -> str:
        """Two clips are done, one has failed, one waits."""
        with Farm(running.endpoint, TOKEN) as farm:
            file = tmp_path / "shots.csv"
            file.write_text(
                "id,prompt,frames\n" + "".join(f"sh{n},a fox {n},33\n" for n in range(4))
            )
            batch_id = farm.submit(file).batch.batch_id
        running.run(self._render(running, tmp_path))
        return batch_id

    @staticmethod
    async def _render(running: RunningFarm, tmp_path: Path) -> None:
        card = SimulatedCard(running.rig)
        for n in range(3):
            card.capacity = 1
            await card.exchange()
            (key,) = card.held
            if n == 2:
                failure = node_pb.FailureReport(
                    failure_class=types.FAILURE_CLASS_INPUT, message="the prompt is poison"
                )
                card._report(key, failure=failure)
                card.capacity = 0
                await card.exchange()
                return
            await card.render_chunk(key, 0)
            film = tmp_path / f"{n}.mp4"
            write_film(film, (200, 30, 60), 33, 24)
            told = sidecar(key[0], n)
            files = {"take": film.read_bytes(), "sidecar": json.dumps(told).encode()}
            await card.upload(key, files)
            card.report_take(key, 33, files)
            await card.exchange()

    def test_its_figures_are_the_ledgers(self, running: RunningFarm, batch_id: str) -> None:
        with Farm(running.endpoint, TOKEN) as farm:
            found = gather(farm, batch_id, MADE_AT)
        spent = running.rig.store.batch(batch_id).spent
        page = checked(report_page(found))
        assert tile(page, "delivered").startswith("2 of 4 clips")
        assert tile(page, "video").startswith("2.75 s 66 frames")
        assert tile(page, "cards at work").startswith(f"{spent.card_seconds:.2f} s")
        assert f"{spent.joules / 3600:.3g} Wh" in page.text
        works = list(running.rig.ledger.work(batch_id, limit=10))
        assert [work.render_seconds for work in works[:2]] == [1.5, 1.5]
        assert [(work.leases, work.failed) for work in works] == [(1, 0), (1, 0), (1, 1), (0, 0)]
        assert works[0].cards == ("node-0",)
        assert {fact["marks"][0] for fact in found.quality if fact["marks"]} == {"drift"}
        assert "1 of 2 takes marked drift" in page.text

    def test_the_command_writes_it_with_pictures_of_its_takes(
        self,
        running: RunningFarm,
        batch_id: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("HELIOSTAT_ENDPOINT", running.endpoint)
        monkeypatch.setenv("HELIOSTAT_API_TOKEN", TOKEN)
        monkeypatch.chdir(tmp_path)
        done = CliRunner().invoke(app, ["report", "shots", "--json"], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        told = json.loads(done.stdout)
        assert (told["file"], told["clips"], told["pictures"]) == (f"{batch_id}-report.html", 4, 2)
        page = checked(Path(told["file"]).read_text(encoding="utf-8"))
        assert [a.partition(",")[0] for a in page.addresses] == ["data:image/jpeg;base64"] * 2
        bare = ["report", "shots", "--no-pictures", "-o", "bare.html"]
        done = CliRunner().invoke(app, bare, catch_exceptions=False)
        assert "bare.html: 4 clips, 0 pictures" in done.stdout
        assert checked(Path("bare.html").read_text(encoding="utf-8")).addresses == []

    def test_without_the_extra_it_has_the_rest_and_says_so(
        self,
        running: RunningFarm,
        batch_id: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("HELIOSTAT_ENDPOINT", running.endpoint)
        monkeypatch.setenv("HELIOSTAT_API_TOKEN", TOKEN)
        monkeypatch.chdir(tmp_path)
        for name in [n for n in sys.modules if n.startswith("farm.media.")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "av", None)
        done = CliRunner().invoke(app, ["report", "shots", "-o", "r.html"], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        page = checked(Path("r.html").read_text(encoding="utf-8"))
        assert "No pictures: av is not installed" in page.text
        assert page.addresses == []


def sidecar(clip_id: str, number: int) -> dict[str, object]:
    """As nodes write them; the second take bears a mark."""
    return {
        "clip_id": clip_id, "clip_name": f"sh{number}", "version": 1, "row": number + 2,
        "project": "default", "batch_id": "b", "batch_name": "shots", "columns": {},
        "prompt": f"a fox {number}", "seed": 1, "frames": 33, "fps": 24, "width": 128,
        "height": 64, "model_digest": "", "take_sha256": "",
        "signals": {"seam_flicker_worst": 1.5 + number}, "marks": ["drift"] if number else [],
    }  # fmt: skip


class TestOfAnySize:
    def test_of_five_thousand_clips_it_stays_small_and_says_what_it_left_out(self) -> None:
        text = report_page(sources(5_000, pictures=200, picture_bytes=8_000))
        page = checked(text)
        assert len(text.encode()) < 15 << 20
        assert f"and {5_000 - ROWS_MAX:,} more clips" in page.text
        assert page.tags.count("img") == 200
        assert "more takes; these were chosen evenly" in page.text

    @pytest.mark.parametrize("clips", [0, 1, 60])
    def test_of_few_or_none_it_says_what_there_is(self, clips: int) -> None:
        page = checked(report_page(sources(clips)))
        assert ("It has no clips." in page.text) == (clips == 0)
        assert "Delivered frames" in page.text or clips < 2

    def test_of_a_batch_that_runs_the_outcome_is_so_far(self) -> None:
        found = sources(60)
        found.batch.ClearField("ended_at")
        page = checked(report_page(found))
        assert "not ended yet" in page.text
        assert "so far" in page.text
        assert "since it was submitted" in page.text

    def test_what_open_clips_have_is_not_in_vain(self) -> None:
        found = sources(4, states=[DONE])
        found.clips[0].state = types.CLIP_STATE_LEASED
        assert " 0% of it in vain" in checked(report_page(found)).text
        found.clips[0].state = types.CLIP_STATE_FAILED
        assert " 0% of it in vain" not in checked(report_page(found)).text

    def test_of_a_cancelled_batch_it_gives_the_reason(self) -> None:
        found = sources(3, states=[types.CLIP_STATE_CANCELLED])
        found.batch.state, found.batch.reason = types.BATCH_STATE_CANCELLED, "the client left"
        page = checked(report_page(found))
        assert "Cancelled: the client left" in page.text
        assert "No take was looked at." in page.text

    def test_without_a_promise_it_says_so(self) -> None:
        found = sources(3)
        found.batch.ClearField("promise")
        assert "Nothing was promised" in checked(report_page(found)).text

    def test_energy_is_said_to_be_measured_only_where_every_chunk_was(self) -> None:
        found = sources(2, states=[DONE])
        assert "measured" in tile(checked(report_page(found)), "energy of the boards")[:40]
        found.works["b1-00001"].chunks_measured = 0
        assert "measured for" in tile(checked(report_page(found)), "energy of the boards")[:40]
        for work in found.works.values():
            work.chunks_measured = 0
        told = tile(checked(report_page(found)), "energy of the boards")
        assert "estimated by power caps" in told[:50]


def test_whatever_people_wrote_is_text_and_nothing_else() -> None:
    found = sources(3, states=[DONE, types.CLIP_STATE_FAILED])
    found.batch.name = EVIL
    for clip in found.clips:
        clip.name, clip.spec.prompt, clip.reason = EVIL, EVIL, EVIL
        clip.review.CopyFrom(types.Review(note=EVIL, reviewer=EVIL))
    text = report_page(found)
    page = checked(text)
    assert "<script" not in text
    assert EVIL in page.text


def test_the_same_cause_on_two_cards_is_one_reason() -> None:
    failed = types.CLIP_STATE_FAILED
    clips = [
        types.Clip(clip_id=f"c{n}", name=f"sh{n}", state=failed, reason=f"card n{n}-0: no memory")
        for n in range(2)
    ]
    assert alike(clips[0].reason) == "a card: no memory"
    found = Sources(
        batch=types.Batch(batch_id="b", created_at=timestamp(MADE_AT)),
        clips=clips,
        works={},
        cards={},
        made_at=MADE_AT,
        remedies={"a card: no memory": ["take a larger card"]},
    )
    page = checked(report_page(found))
    assert "2 failed" in page.text
    assert "take a larger card" in page.text


def test_some_of_many_are_taken_from_the_whole_length() -> None:
    clips = [types.Clip(clip_id=str(n)) for n in range(1000)]
    chosen = [int(clip.clip_id) for clip in evenly(clips, 10)]
    assert chosen == list(range(0, 1000, 100))
    assert evenly(clips[:3], 10) == clips[:3]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_shows_it_without_a_complaint(scheme: str, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(report_page(sources(60, pictures=12)), encoding="utf-8")
    with chromium() as browser:
        page = browser.new_page(color_scheme=scheme, viewport={"width": 390, "height": 800})
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: said.append(request.url))
        page.goto(path.as_uri())
        shown = page.evaluate(
            "({wide: document.documentElement.scrollWidth,"
            " broken: [...document.images].filter(i => !i.naturalWidth).length,"
            " ground: getComputedStyle(document.body).backgroundColor,"
            " curve: document.querySelector('.curve').getBBox().width})"
        )
    outside = [each for each in said if not each.startswith(("file:", "data:"))]
    assert outside == []
    assert (shown["wide"], shown["broken"]) == (390, 0)
    assert shown["ground"] == {"light": "rgb(253, 252, 249)", "dark": "rgb(22, 24, 28)"}[scheme]
    assert shown["curve"] > 300


def test_work_is_listed_page_by_page(
    farm: Farm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(working, "_PAGE", 3)
    file = tmp_path / "many.csv"
    file.write_text("id,prompt,frames\n" + "".join(f"c{n},p,33\n" for n in range(7)))
    batch_id = farm.submit(file).batch.batch_id
    ids = [work.clip_id for work in farm.work(batch_id)]
    assert ids == [clip.clip_id for clip in farm.clips(batch_id)]
    assert len(ids) == 7
