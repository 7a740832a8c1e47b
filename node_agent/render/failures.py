"""Which failure class an exception belongs to, without importing the libraries that raise it."""

from __future__ import annotations

import errno

from node_agent.render.messages import Failure
from node_agent.render.profiles import ProfileError
from node_agent.render.renderer import CheckpointError, PromptError

MESSAGE_CHARACTERS_MAX = 2000
"""Longer messages are cut: some drivers print pages."""

_DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG})
_OUT_OF_MEMORY_NAMES = frozenset({"MemoryError", "OutOfMemoryError"})
_OUT_OF_MEMORY_WORDS = ("out of memory", "cublas_status_alloc_failed")
_POISON_WORDS = ("cuda error", "cublas_status_", "cudnn_status_", "device-side assert")
"""After these the CUDA context answers every later call with the same error."""


def classify(error: BaseException) -> Failure:
    """The failure class; what nothing else claims is the node's."""
    if isinstance(error, PromptError):
        return Failure.INPUT
    if is_out_of_memory(error):
        return Failure.OUT_OF_MEMORY
    if isinstance(error, CheckpointError):
        return Failure.STORAGE
    if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
        return Failure.STORAGE
    return Failure.NODE


def is_out_of_memory(error: BaseException) -> bool:
    """True for Python's MemoryError, torch's OutOfMemoryError, and what CUDA says in words."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & _OUT_OF_MEMORY_NAMES:
        return True
    return isinstance(error, RuntimeError) and _says(error, _OUT_OF_MEMORY_WORDS)


def is_fatal(error: BaseException) -> bool:
    """True when the accelerator cannot be used in this process any more."""
    if is_out_of_memory(error):
        return False
    return isinstance(error, RuntimeError) and _says(error, _POISON_WORDS)


def describe(error: BaseException) -> str:
    """The error in one message, its kind included where the words alone say too little."""
    text = str(error)
    if not isinstance(error, (PromptError, CheckpointError, ProfileError)):
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    if len(text) > MESSAGE_CHARACTERS_MAX:
        text = text[: MESSAGE_CHARACTERS_MAX - 1] + "…"
    return text


def _says(error: BaseException, words: tuple[str, ...]) -> bool:
    text = str(error).lower()
    return any(word in text for word in words)
