"""The SDK against a real gateway, coordinator and ledger."""

from __future__ import annotations

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from farm.client import AccessDenied, Farm, FarmUnreachable, InputOptions, Refused
from farm.client.local import find_local
from farm.domain import values
from farm.domain.errors import NotFound, RequestConflict
from heliostat.v1 import types_pb2 as types
from tests.client.conftest import RunningFarm
from tests.fixtures.gateway import TOKEN

BENCH = Path(__file__).parents[2] / "examples" / "heliosbench_t2v.csv"
MODES = BENCH.with_name("modes.yaml")
AS_NODES = InputOptions(upload=False)
"""Paths are the nodes' own."""


def rows(count: int) -> list[dict[str, str]]:
    return [{"id": f"shot_{n}", "prompt": f"shot {n}", "frames": "66"} for n in range(count)]


class TestSubmit:
    def test_a_file_becomes_a_batch(self, farm: Farm) -> None:
        farm.set_project("bench")
        done = farm.submit(BENCH, column_map={"duration": "frames"}, project="bench")
        assert (done.clips, done.repeated, done.warnings) == (240, False, [])
        batch = farm.get("heliosbench_t2v")
        assert (batch, batch.project) == (done.batch, "bench")
        clips = list(farm.clips(batch.batch_id))
        assert [clip.row for clip in clips] == list(range(2, 242))
        assert sum(clip.spec.frames for clip in clips) == done.frames

    def test_rows_from_a_program_are_a_batch_too(self, farm: Farm) -> None:
        done = farm.submit(rows(3), name="mine", set_fields={"size": "128x128"})
        assert done.batch is not None
        assert [clip.name for clip in farm.clips("mine")] == ["shot_0", "shot_1", "shot_2"]

    def test_the_example_has_a_clip_of_each_mode(self, farm: Farm) -> None:
        batch = farm.submit(MODES, inputs=AS_NODES).batch
        assert batch is not None
        clips = list(farm.clips(batch.batch_id))
        assert {clip.spec.mode for clip in clips} == set(values.MODES)
        marks = [[(m.chunk, m.blend_chunks) for m in clip.spec.schedule] for clip in clips]
        assert marks == [[], [], [], [(2, 3), (4, 1)], [(2, 2), (4, 2)]]
        assert clips[1].spec.image == str(MODES.with_name("fox.png"))
        assert clips[2].spec.skip_first_chunk

    def test_lists_of_a_json_lines_file_lose_nothing(self, farm: Farm, tmp_path: Path) -> None:
        prompt = 'It wakes.\n5: "not a mark" | 6: nor this'
        row = {"prompt": "a", "frames": 240, "schedule": [{"at": 2, "prompt": prompt}]}
        path = tmp_path / "f.jsonl"
        path.write_text(json.dumps({**row, "lora": ["film:0.5", "grain"]}) + "\n")
        batch = farm.submit(path).batch
        assert batch is not None
        (clip,) = farm.clips(batch.batch_id)
        assert [mark.prompt for mark in clip.spec.schedule] == [prompt]
        assert [(lora.name, lora.scale) for lora in clip.spec.loras] == [
            ("film", 0.5),
            ("grain", 1.0),
        ]

    def test_relative_paths_lie_beside_the_file(
        self, farm: Farm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "show").mkdir()
        (tmp_path / "show" / "f.csv").write_text(
            "prompt,Image,start\na,in/../fox.png,\nb,/abs/fox.png,\nc,s3://heliostat/k,\n"
            "d,,fox.mp4\n"
        )
        monkeypatch.chdir(tmp_path)
        batch = farm.submit(
            Path("show/f.csv"), column_map={"start": "video"}, inputs=AS_NODES
        ).batch
        assert batch is not None
        specs = [clip.spec for clip in farm.clips(batch.batch_id)]
        assert [spec.image or spec.video for spec in specs] == [
            f"{tmp_path}/show/fox.png",
            "/abs/fox.png",
            "s3://heliostat/k",
            f"{tmp_path}/show/fox.mp4",
        ]
        (tmp_path / "show" / "g.csv").write_text("prompt\na\n")
        batch = farm.submit(
            Path("show/g.csv"), set_fields={"image": "fox.png"}, inputs=AS_NODES
        ).batch
        assert batch is not None
        (clip,) = farm.clips(batch.batch_id)
        assert clip.spec.image == f"{tmp_path}/show/fox.png"

    def test_the_same_request_is_one_batch_however_often_it_comes(self, farm: Farm) -> None:
        with ThreadPoolExecutor(8) as pool:
            done = list(
                pool.map(lambda _: farm.submit(rows(20), name="once", request_id="r1"), range(24))
            )
        assert len({each.batch.batch_id for each in done if each.batch}) == 1
        assert sum(not each.repeated for each in done) == 1
        assert len(list(farm.list())) == 1

    def test_the_same_request_for_something_else_is_refused(self, farm: Farm) -> None:
        farm.submit(rows(2), name="once", request_id="r1")
        with pytest.raises(RequestConflict):
            farm.submit(rows(3), name="once", request_id="r1")

    def test_problems_of_file_and_rows_come_as_one_list(self, farm: Farm, tmp_path: Path) -> None:
        path = tmp_path / "f.csv"
        path.write_bytes(b"id,prompt,frames\n1,caf\xe9,0\n1,,5\n2,a,5,6\n")
        with pytest.raises(Refused) as caught:
            farm.submit(path)
        assert [(p.row, p.column) for p in caught.value.problems] == [
            (2, "prompt"),
            (2, "frames"),
            (3, "id"),
            (3, "prompt"),
            (4, ""),
        ]
        assert list(farm.list()) == []

    def test_a_file_with_problems_of_its_own_is_never_accepted(
        self, farm: Farm, tmp_path: Path
    ) -> None:
        path = tmp_path / "f.csv"
        path.write_bytes(b"id,prompt\n1,caf\xe9\n2,fine\n")
        with pytest.raises(Refused):
            farm.submit(path)
        assert list(farm.list()) == []

    def test_a_thousand_problems_are_all_listed(self, farm: Farm) -> None:
        bad = [{"prompt": "a", "frames": "0"}] * 1000
        with pytest.raises(Refused) as caught:
            farm.submit(bad, name="bad")
        assert [problem.row for problem in caught.value.problems] == list(range(1, 1001))

    def test_a_dry_run_accepts_nothing(self, farm: Farm) -> None:
        done = farm.submit(rows(3), name="dry", dry_run=True)
        assert (done.batch, done.clips, done.frames) == (None, 3, 198)
        assert list(farm.list()) == []

    def test_a_gateway_that_is_restarted_meanwhile(self, running: RunningFarm, farm: Farm) -> None:
        farm.submit(rows(1), name="warm")
        running.run(running.rig.restart_gateway())
        assert farm.submit(rows(5), name="after").clips == 5


class TestCalls:
    def test_cancel_and_retry_count_once_for_a_request(self, farm: Farm) -> None:
        batch = farm.submit(rows(5), name="b").batch
        assert batch is not None
        for _ in range(2):
            answer = farm.cancel(batch.batch_id, ["shot_1", "shot_2"], request_id="c1")
            assert (answer.cancelled, answer.batch.clips.cancelled) == (2, 2)
        retried = farm.retry("b", states=[types.CLIP_STATE_CANCELLED])
        assert (retried.requeued, retried.batch.clips.queued) == (2, 5)

    def test_clips_page_through_and_filter(self, farm: Farm) -> None:
        farm.submit(rows(25), name="b")
        farm.cancel("b", ["shot_3", "shot_20"])
        pages = list(farm.clip_pages("b", page_size=10))
        assert [len(page.clips) for page in pages] == [10, 10, 5]
        cancelled = farm.clips("b", [types.CLIP_STATE_CANCELLED])
        assert [clip.name for clip in cancelled] == ["shot_3", "shot_20"]

    def test_the_fleet_is_told(self, farm: Farm) -> None:
        assert (farm.fleet().cards, list(farm.cards()), list(farm.nodes())) == (0, [], [])
        assert farm.fleet().baseline.frames_per_second == 19.53

    def test_what_is_not_there_is_not_found(self, farm: Farm) -> None:
        with pytest.raises(NotFound):
            farm.get("nothing")
        with pytest.raises(NotFound):
            next(farm.watch("nothing"))

    def test_a_wrong_token_is_told_what_to_do(self, running: RunningFarm) -> None:
        with (
            Farm(running.endpoint, "wrong") as farm,
            pytest.raises(AccessDenied, match="set HELIOSTAT_API_TOKEN"),
        ):
            farm.fleet()

    def test_a_farm_that_is_not_there_is_told_what_to_do(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            endpoint = f"127.0.0.1:{taken.getsockname()[1]}"
            with (
                Farm(endpoint, TOKEN) as farm,
                pytest.raises(FarmUnreachable, match=f"{endpoint} is not reachable .*farm up"),
            ):
                farm.fleet()

    def test_a_data_directory_without_a_farm(self, tmp_path: Path) -> None:
        with pytest.raises(FarmUnreachable, match=r"no farm runs in .*`farm up` starts one"):
            Farm.local(tmp_path)
        (tmp_path / "farm.json").write_text("{")
        with pytest.raises(FarmUnreachable, match="cannot be read"):
            Farm.local(tmp_path)
        (tmp_path / "farm.json").write_text('{"endpoint": "x:1", "serving": false, "stage": "s3"}')
        with pytest.raises(FarmUnreachable, match=r"is starting \(s3\)"):
            find_local(tmp_path)

    def test_a_local_farm_is_found_by_its_directory(
        self, running: RunningFarm, tmp_path: Path
    ) -> None:
        token = tmp_path / "token"
        token.write_text(TOKEN + "\n")
        (tmp_path / "farm.json").write_text(
            f'{{"endpoint": "{running.endpoint}", "serving": true, "token_file": "{token}"}}'
        )
        with Farm.local(tmp_path) as farm:
            assert farm.fleet().cards == 0


class TestWatch:
    def test_no_gap_and_no_repeat_while_gateways_come_and_go(
        self, running: RunningFarm, farm: Farm
    ) -> None:
        batch = farm.submit(rows(30), name="b").batch
        assert batch is not None
        seen = []
        interruptions = []
        half = threading.Event()

        def look() -> None:
            for event in farm.watch(batch.batch_id, on_interrupted=interruptions.append):
                seen.append(event)
                if len(seen) == 40:
                    half.set()

        watcher = threading.Thread(target=look)
        watcher.start()
        farm.cancel("b", [f"shot_{n}" for n in range(10)])
        assert half.wait(60)
        running.run(running.rig.restart_gateway())
        farm.cancel("b", [f"shot_{n}" for n in range(10, 20)])
        farm.cancel("b", [f"shot_{n}" for n in range(20, 30)])
        watcher.join(60)
        assert not watcher.is_alive()
        assert interruptions
        sequences = [event.sequence for event in seen]
        assert sequences == sorted(set(sequences))
        told = [(event.clip_name, event.kind) for event in seen if event.clip_name]
        everything = running.rig.ledger.events(after=0, limit=1000, batch_id=batch.batch_id)
        assert told == [(row.clip_name, row.kind) for row in everything if row.clip_name]
        assert sum(kind == "cancel" for _, kind in told) == 30

    def test_a_watch_goes_on_after_what_was_seen(self, farm: Farm) -> None:
        farm.submit(rows(3), name="b")
        farm.cancel("b")
        events = list(farm.watch("b"))
        rest = list(farm.watch("b", after=events[2].sequence))
        assert [event.sequence for event in rest] == [event.sequence for event in events[3:]]

    def test_a_farm_that_stays_away_ends_the_patience(
        self, running: RunningFarm, farm: Farm
    ) -> None:
        farm.submit(rows(1), name="b")
        events = farm.watch("b", patience_seconds=0.0)
        next(events)
        running.run(running.rig.gateway.stop(0.0))
        with pytest.raises(FarmUnreachable, match="has been away for 0 s"):
            list(events)
