"""A clip whose first attempt is killed: what is logged of it, what is not, and its trace."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from farm.fleet_ray.settings import Secrets
from tests.fixtures.collector import Collector, running_collector
from tests.fixtures.farm import RealFarm, running_farm

pytestmark = pytest.mark.e2e

CANARY = "zinnoberkrokodil"


@dataclass
class Story:
    farm: RealFarm
    collector: Collector
    clip_id: str


@pytest.fixture(scope="module")
def story() -> Iterator[Story]:
    """A farm on which one clip was rendered in two attempts, the first of them killed."""
    with running_collector() as collector:
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }
        with running_farm(environment, seconds_per_chunk=1.0, cpu_cards=1) as farm:
            row = {"id": "a", "prompt": f"a {CANARY} in the reeds", "frames": "66"}
            batch_id = farm.submit([{**row, "size": "64x64"}], "b")
            farm.wait_for("its first chunk to be begun", farm.begun)
            farm.kill("child")
            farm.wait_until_ended(batch_id)
            (clip,) = farm.clips(batch_id)
            farm.wait_for(
                "the commit's span", lambda: any(s.name == "commit" for s in collector.spans())
            )
            yield Story(farm, collector, clip.clip.clip_id)


def read(story: Story, *arguments: str) -> list[dict[str, object]]:
    """What `farm logs` brings."""
    done = story.farm.cli("logs", *arguments, "--json")
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_logs_of_a_clip_come_from_its_card_and_the_head_in_order(story: Story):
    lines = read(story, "b/a")
    assert {line["clip_id"] for line in lines} == {story.clip_id}
    assert {line["component"] for line in lines} == {"coordinator", "agent", "child"}
    assert {line["attempt"] for line in lines if line["component"] == "child"} == {1, 2}
    assert [line["ts"] for line in lines] == sorted(line["ts"] for line in lines)
    (killed,) = [line for line in lines if "killed by SIGKILL" in str(line["event"])
                 and line["logger"] == "node_agent.engine"]  # fmt: skip
    assert (killed["attempt"], killed["level"]) == (1, "warning")
    told = [line["event"] for line in lines if line["component"] == "coordinator"]
    assert [str(event).partition(":")[0] for event in told] == ["lease", "fail", "lease", "done"]
    assert all(line["epoch"] == 1 for line in lines if line["component"] == "coordinator")


def test_the_logs_of_a_card_and_of_the_head_are_there_too(story: Story):
    (card,) = story.farm.client.cards()
    assert {line["card_id"] for line in read(story, card.card_id)} == {card.card_id}
    assert read(story, card.hostname, "--lines", "1") == read(story, card.card_id)[-1:]
    assert any("gateway serves" in str(line["event"]) for line in read(story, "gateway"))
    late = read(story, "coordinator", "--since", str(read(story, "coordinator")[-1]["ts"]))
    assert late == []
    for_a_person = story.farm.cli("logs", "b/a").stdout
    assert f"agent {card.card_id}: the take is delivered" in for_a_person
    assert "there is no clip, card or node nix" in story.farm.cli("logs", "nix", code=4).stderr


def test_neither_prompts_nor_tokens_nor_signatures_are_in_any_log(story: Story):
    settings = story.farm.settings
    secrets = Secrets.load(settings)
    words = [CANARY, "X-Amz-Signature", secrets.api_token, secrets.s3_secret_key, secrets.ray_token]
    directories = [settings.logs, settings.data_dir / "node", settings.ray_directory]
    files = [path for each in directories for path in each.rglob("*") if path.is_file()]
    assert len(story.farm.own_logs()) == 4
    assert set(story.farm.own_logs()) <= set(files)
    found = [(word, path) for word in words for path in files if holds(path, word)]
    assert not found


def holds(path: Path, word: str) -> bool:
    return word.encode() in path.read_bytes()


def test_a_clip_is_one_trace_with_its_attempts_linked(story: Story):
    spans = story.collector.spans()
    assert story.collector.services() == {"heliostat-coordinator", "heliostat-agent"}
    assert len({span.trace_id for span in spans}) == 1
    assert len({span.span_id for span in spans}) == len(spans)
    (submit,) = [span for span in spans if span.name == "submit"]
    first, second = [span for span in spans if span.name == "attempt"]
    (commit,) = [span for span in spans if span.name == "commit"]
    assert submit.parent_span_id == b""
    assert first.parent_span_id == second.parent_span_id == submit.span_id
    assert not first.links
    assert [link.span_id for link in second.links] == [first.span_id]
    assert first.status.code == first.status.STATUS_CODE_ERROR
    assert second.status.code == second.status.STATUS_CODE_UNSET
    work = [span for span in spans if span.name in ("chunk", "upload", "commit")]
    assert {span.parent_span_id for span in work} == {second.span_id}
    names = [span.name for span in spans]
    kinds = ("init", "segment", "segment", "take", "sidecar")
    assert (names.count("chunk"), names.count("upload")) == (2, len(kinds))
    steps = (submit, first, second, commit)
    assert all(a.start_time_unix_nano < b.start_time_unix_nano for a, b in pairwise(steps))
    for span in work:
        assert second.start_time_unix_nano <= span.start_time_unix_nano
        assert span.start_time_unix_nano <= span.end_time_unix_nano <= second.end_time_unix_nano
    chunks = [span for span in spans if span.name == "chunk"]
    assert all((s.end_time_unix_nano - s.start_time_unix_nano) / 1e9 > 0.9 for s in chunks)


def test_no_prompt_is_in_a_span(story: Story):
    assert all(CANARY.encode() not in span.SerializeToString() for span in story.collector.spans())
