"""Each failure has the class that decides what the farm does next."""

from __future__ import annotations

import errno

import pytest

from node_agent.render.failures import MESSAGE_CHARACTERS_MAX, classify, describe, is_fatal
from node_agent.render.messages import Failure
from node_agent.render.profiles import ProfileError
from node_agent.render.renderer import CheckpointError, PromptError


class OutOfMemoryError(RuntimeError):
    """Named as torch's, which is known by its name so that torch need not be imported."""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (PromptError("too long"), Failure.INPUT),
        (CheckpointError("torn"), Failure.STORAGE),
        (OSError(errno.ENOSPC, "No space left on device"), Failure.STORAGE),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), Failure.STORAGE),
        (OSError(errno.EIO, "Input/output error"), Failure.STORAGE),
        (PermissionError(errno.EACCES, "Permission denied"), Failure.NODE),
        (MemoryError(), Failure.OUT_OF_MEMORY),
        (OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), Failure.OUT_OF_MEMORY),
        (RuntimeError("CUDA error: out of memory"), Failure.OUT_OF_MEMORY),
        (RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling"), Failure.OUT_OF_MEMORY),
        (RuntimeError("CUDA error: an illegal memory access"), Failure.NODE),
        (ValueError("a prompt that says out of memory"), Failure.NODE),
        (KeyError("x"), Failure.NODE),
        (ProfileError("quality exact needs the profile exact"), Failure.NODE),
    ],
)
def test_every_error_has_its_class(error, expected):
    assert classify(error) is expected


def test_only_a_poisoned_accelerator_is_fatal():
    assert is_fatal(RuntimeError("CUDA error: an illegal memory access was encountered"))
    assert is_fatal(RuntimeError("CUDA error: device-side assert triggered"))
    assert not is_fatal(RuntimeError("CUDA error: out of memory"))
    assert not is_fatal(ValueError("CUDA error: only talk"))


def test_messages_are_for_a_person_and_have_a_limit():
    assert describe(PromptError("513 tokens, 512 fit")) == "513 tokens, 512 fit"
    assert describe(ProfileError("no exact here")) == "no exact here"
    assert describe(KeyError("x")) == "KeyError: 'x'"
    assert describe(MemoryError()) == "MemoryError"
    assert len(describe(RuntimeError("x" * 100_000))) == MESSAGE_CHARACTERS_MAX
