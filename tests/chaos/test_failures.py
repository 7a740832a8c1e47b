"""A clip whose every attempt fails ends with its reason, and goes on when somebody asks again."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from farm.domain.clip import ClipState
from farm.plan.policy import Policy
from tests.fixtures.farm import running_farm
from tests.fixtures.oracle import check_farm

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]


def test_a_clip_fails_for_good_and_is_retried(tmp_path: Path):
    file = tmp_path / "one.csv"
    file.write_text("id,prompt,frames,size\ndoomed,p,34,64x64\n", encoding="utf-8")
    with running_farm(seconds_per_chunk=3.0, cpu_cards=1) as farm:
        with subprocess.Popen(
            farm.command("submit", file, "--wait", "--json"),
            env=farm.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as waiting:
            for attempt in range(1, Policy().failure_budget + 1):
                farm.wait_for(
                    f"attempt {attempt} to begin its first chunk",
                    lambda attempt=attempt: [key for key in farm.begun() if key[1] == attempt],
                )
                farm.kill("child")
            out, error = waiting.communicate(timeout=180)
        assert waiting.returncode == 1, error
        batch = json.loads(out)["batch"]
        assert batch["clips"]["failed"] == 1
        batch_id = batch["batch_id"]
        (clip,) = farm.clips(batch_id)
        assert "render child was killed by SIGKILL" in clip.clip.reason
        assert "doomed" in farm.cli("clips", batch_id).stdout

        answer = json.loads(farm.cli("retry", batch_id, "--failed", "--json").stdout)
        assert answer["requeued"] == 1
        farm.cli("watch", batch_id)
        verdict = check_farm(farm, batch_id, submitted=1)
        assert verdict.states() == {ClipState.DONE: 1}
