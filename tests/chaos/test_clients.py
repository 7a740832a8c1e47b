"""What users see of kills: nothing but time."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from farm.domain.clip import ClipState
from tests.chaos.conftest import ROWS, Stage
from tests.fixtures.oracle import check_farm

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

CLIPS = 4


def a_file(folder: Path, frames: int = 132) -> Path:
    file = folder / "waiting.csv"
    rows = [f"clip {n},a prompt,{frames},64x64,{n}" for n in range(CLIPS)]
    file.write_text("\n".join(["id,prompt,frames,size,seed", *rows]) + "\n", encoding="utf-8")
    return file


def test_a_client_waits_through_the_deaths_of_gateway_and_coordinator(stage: Stage, tmp_path: Path):
    farm = stage.farm
    before = {batch.batch_id for batch in farm.client.list()}
    long_enough = a_file(tmp_path, frames=330)  # for both kills to find clips at work
    command = farm.command("submit", long_enough, "--wait", "--json")
    with subprocess.Popen(
        command, env=farm.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as waiting:

        def new_batches() -> set[str]:
            return {batch.batch_id for batch in farm.client.list()} - before

        (batch_id,) = farm.wait_for("the batch", new_batches)
        farm.wait_for_chunks(batch_id, 2)
        farm.kill("gateway")
        farm.wait_for_chunks(batch_id, 6)
        farm.kill("coordinator")
        out, error = waiting.communicate(timeout=180)
    assert waiting.returncode == 0, error
    assert json.loads(out)["batch"]["clips"]["done"] == CLIPS
    check_farm(farm, batch_id, submitted=CLIPS)


@pytest.mark.parametrize("kind", ["gateway", "coordinator", "store"])
def test_a_batch_is_accepted_right_after_a_death(stage: Stage, tmp_path: Path, kind: str):
    """Submitted once, whatever the command had to do to get it there."""
    farm = stage.farm
    file = a_file(tmp_path)
    farm.wait_until_whole()
    farm.kill(kind)
    answer = json.loads(farm.cli("submit", file, "--name", f"after {kind}", "--json").stdout)
    batch_id = answer["batch"]["batch_id"]
    farm.wait_until_ended(batch_id)
    verdict = check_farm(farm, batch_id, submitted=CLIPS)
    assert verdict.states() == {ClipState.DONE: CLIPS}
    named = [batch.batch_id for batch in farm.client.list() if batch.name == f"after {kind}"]
    assert named == [batch_id]


def test_a_hundred_copies_of_a_submission_whose_reply_is_lost_are_one_batch(stage: Stage):
    """The gateway dies between the commit and the reply to the first of them."""
    farm, name = stage.farm, "a hundred copies"
    farm.wait_until_whole()
    stage.arm("gateway.submit.published", 1)
    with ThreadPoolExecutor(100) as clients:
        copies = [clients.submit(farm.submit_patiently, ROWS, name, "copied") for _ in range(100)]
        answers = {copy.result() for copy in copies}
    assert stage.was_hit("gateway.submit.published")
    assert answers == {batch.batch_id for batch in farm.client.list() if batch.name == name}
    (batch_id,) = answers
    farm.wait_until_ended(batch_id)
    stage.check(batch_id)


def test_a_watch_has_no_gap_and_no_repeat_when_the_gateway_is_killed(stage: Stage):
    farm = stage.farm
    farm.wait_until_whole()
    row = {"prompt": "a prompt", "frames": "132", "size": "64x64"}
    rows = [{**row, "seed": str(n)} for n in range(CLIPS)]
    batch_id = farm.submit(rows, "watched")
    interruptions: list[str] = []
    seen = []
    for event in farm.client.watch(batch_id, on_interrupted=interruptions.append):
        seen.append((event.sequence, event.clip_id, event.kind))
        if len(seen) in (8, 16):
            farm.kill("gateway")
    assert len(interruptions) >= 2
    assert seen == [(event.sequence, event.clip_id, event.kind) for event in farm.events(batch_id)]
    check_farm(farm, batch_id, submitted=CLIPS)
