"""A farm in the foreground, as a service or a container runs it."""

from __future__ import annotations

import json
import signal
import subprocess

import pytest

from farm.fleet_ray.settings import HeadSettings
from farm.fleet_ray.state import read_state
from tests.fixtures.farm import PATIENCE_SECONDS, RealFarm, assert_nothing_left

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def test_it_serves_from_the_process_that_was_started_until_sigterm():
    farm = RealFarm()
    settings = HeadSettings(data_dir=farm.data_dir, port=farm.port)
    flags = ["--port", str(farm.port), "--cpu-cards", "1", "--renderer", "testcard"]
    command = farm.command("up", "--foreground", *flags)
    head = subprocess.Popen(command, env=farm.environment, stderr=subprocess.PIPE, text=True)
    try:
        farm.wait_for("a farm that serves", lambda: (s := read_state(settings)) and s.serving)
        state = read_state(settings)
        assert state is not None
        assert state.pid == head.pid
        again = farm.cli("up", "--foreground", *flags, code=1)
        assert f"runs already, as process {head.pid}" in again.stderr
        batch_id = farm.submit([{"id": "a", "prompt": "p", "frames": "33", "size": "64x64"}], "b")
        farm.cli("watch", batch_id, "--json")
        head.send_signal(signal.SIGTERM)
        said = head.communicate(timeout=PATIENCE_SECONDS)[1]
        assert head.returncode == 0
        events = [json.loads(line)["event"] for line in said.splitlines()]
        assert events[-1] == "serving", "what its supervisor says is for who started it"
        assert_nothing_left(settings)
    finally:
        head.kill()
        head.wait()
        farm.close()


def test_one_that_cannot_start_says_so_by_its_exit_code(tmp_path):
    farm = RealFarm(renderer="helios")
    try:
        done = farm.cli("up", "--foreground", "--model", tmp_path, "--gpu-cards", "1", code=1)
        assert "not a prepared model directory" in done.stderr
    finally:
        farm.close()
