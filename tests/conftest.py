"""What all tests share: one thread for arithmetic, and how to ask for a program of the system."""

import gc
import os
import shutil
import signal

import pytest

from tests.fixtures.postgresql import postgresql  # noqa: F401 - fixture

# Films are compared to the bit, and the bits of a sum depend on the threads that share it: one,
# here and in all that is started from here. So `make test` can fill each core with a process.
for threads in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[threads] = "1"

# A shell that starts tests in the background has them ignore Ctrl-C, and so would the commands
# whose Ctrl-C they test.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Full collections of garbage need not go through what importing all tests loaded.

    That is half a million objects and more; a renderer makes such a collection for each clip.
    """
    gc.collect()
    gc.freeze()


def require_program(name: str) -> str:
    """The path of a program that a test drives.

    Where it is missing the test is skipped, with the reason; under CI=true it fails, so that a
    machine that lost a program cannot pass by testing less.
    """
    path = shutil.which(name) or shutil.which(name, path="/usr/bin:/usr/sbin")
    if path is not None:
        return path
    reason = f"{name} is not installed; tools/system.sh installs it"
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
