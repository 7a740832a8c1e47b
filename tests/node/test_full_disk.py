"""What is to be written to a full disk is kept until there is room, and not for ever (REL-6)."""

from __future__ import annotations

import errno

import pytest

from node_agent.full_disk import patiently


class Disk:
    """Refuses the first writes."""

    def __init__(self, refusals: int, error: int = errno.ENOSPC) -> None:
        self.refusals = refusals
        self.error = error
        self.tries = 0

    def write(self) -> str:
        self.tries += 1
        if self.tries <= self.refusals:
            raise OSError(self.error, "No space left on device")
        return "written"


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT])
def test_it_is_written_once_there_is_room(error: int) -> None:
    disk = Disk(2, error)
    assert patiently(disk.write) == "written"
    assert disk.tries == 3


def test_patience_has_an_end() -> None:
    disk = Disk(10**9)
    with pytest.raises(OSError, match="No space left"):
        patiently(disk.write, seconds=0.3)
    assert disk.tries > 1


def test_what_nobody_wants_any_more_is_not_tried_again() -> None:
    disk = Disk(10**9)
    with pytest.raises(OSError, match="No space left"):
        patiently(disk.write, in_vain=lambda: True)
    assert disk.tries == 1


def test_a_disk_that_fails_otherwise_is_no_matter_of_time() -> None:
    disk = Disk(10**9, errno.EIO)
    with pytest.raises(OSError, match="Errno 5"):
        patiently(disk.write)
    assert disk.tries == 1
