"""The tour of the documents holds: every command in it, by the command line and by the SDK."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TOUR = Path(__file__).parents[2] / "tools" / "tour.py"

pytestmark = pytest.mark.e2e


@pytest.mark.timeout(900)
def test_the_tour_goes_as_its_page_says() -> None:
    done = subprocess.run(
        [sys.executable, str(TOUR)], capture_output=True, text=True, timeout=850, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
