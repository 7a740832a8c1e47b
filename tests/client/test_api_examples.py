"""The examples of docs/api.md do what is said there."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from farm.client import Farm
from heliostat.v1 import types_pb2 as types
from tests.client.conftest import RunningFarm
from tests.conftest import require_program
from tests.fixtures.gateway import TOKEN

PAGE = Path(__file__).parents[2] / "docs" / "api.md"


def test_the_examples_of_the_page(running: RunningFarm, farm: Farm) -> None:
    require_program("curl")
    examples = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(examples) == 5
    url = f"http://127.0.0.1:{running.rig.gateway.http_port}"
    said = [
        subprocess.run(
            ["sh", "-c", example], env={"FARM": url, "TOKEN": TOKEN, "PATH": "/usr/bin:/bin"},
            capture_output=True, text=True, check=False,
        ).stdout
        for example in examples
    ]  # fmt: skip
    submitted, by_lines, clips, cancelled = map(json.loads, said[:4])
    assert (submitted["clips"], by_lines["clips"]) == (2, 2)
    assert [clip["name"] for clip in clips["clips"]] == ["sh010", "sh020"]
    assert cancelled["cancelled"] == 1
    kinds = [json.loads(line)["kind"] for line in said[4].splitlines() if line]
    assert kinds == ["submit", "submit", "submit", "cancel"]
    assert [clip.state for clip in farm.clips("two shots")] == [
        types.CLIP_STATE_QUEUED,
        types.CLIP_STATE_CANCELLED,
    ]


def test_the_error_of_the_page_is_the_one_that_comes(running: RunningFarm) -> None:
    (shown,) = re.findall(r"^```json\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    answer = running.run(running.rig.post("BatchService/Get", {"batchId": "nothing"}))
    assert answer.json() == json.loads(shown)
