"""`farm-node` on a machine without the extra [node] (docs/decisions/0005)."""

from __future__ import annotations

import subprocess
import sys

import pytest

WITHOUT = ("av", "grpc", "numpy", "psutil", "pynvml", "ray", "safetensors", "torch")
PROGRAM = """
import sys
sys.modules.update(dict.fromkeys({without!r}))
sys.argv = ["farm-node", *{arguments!r}]
from node_agent.cli import main
main()
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command where the packages of the extra cannot be imported."""
    program = PROGRAM.format(without=WITHOUT, arguments=arguments)
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )


def test_it_tells_what_it_can_do() -> None:
    done = run("--help")
    assert done.returncode == 0, done.stderr
    assert "doctor" in done.stdout


@pytest.mark.parametrize(
    "command",
    [
        ("doctor",),
        ("inventory",),
        ("profiles",),
        ("burn-in", "--model", "m"),
    ],
)
def test_a_command_that_needs_the_extra_says_so(command: tuple[str, ...]) -> None:
    done = run(*command)
    assert done.returncode == 1
    assert "heliostat[node]" in done.stderr
    assert "Traceback" not in done.stderr
