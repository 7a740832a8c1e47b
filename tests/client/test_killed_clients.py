"""A client that dies in the middle of a submission leaves nothing of it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

from farm.client import Farm
from tests.client.conftest import RunningFarm
from tests.fixtures.gateway import TOKEN

ROWS = [{"id": f"shot_{n}", "prompt": f"shot {n}"} for n in range(2000)]

CLIENT = """
import sys, threading
import farm.client.submission as submission
from farm.client import Farm

whole = submission.messages

def half(*given, **more):
    for number, message in enumerate(whole(*given, **more)):
        if number == 3:  # the header and two blocks of rows are on their way
            threading.Event().wait()
        yield message

submission.messages = half
rows = [{"id": f"shot_{n}", "prompt": f"shot {n}"} for n in range(2000)]
Farm(sys.argv[1], sys.argv[2]).submit(rows, name="half", request_id="r")
"""


def test_a_client_killed_in_mid_submit_leaves_no_half_batch(
    running: RunningFarm, farm: Farm, tmp_path: Path
) -> None:
    script = tmp_path / "client.py"
    script.write_text(CLIENT)
    command = [sys.executable, str(script), running.endpoint, TOKEN]
    with subprocess.Popen(command) as client:
        while not running.rig.staged():
            assert client.poll() is None
            time.sleep(0.02)
        assert list(farm.list()) == [], "what is not whole, nobody sees"
        client.kill()
    assert client.returncode == -signal.SIGKILL
    while running.rig.staged():
        time.sleep(0.02)
    assert list(farm.list()) == []
    done = farm.submit(ROWS, name="half", request_id="r")
    assert (done.clips, done.repeated) == (2000, False)
