"""A disk that is full for a while: what is to be written is kept until there is room."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Final, TypeVar

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_delay,
    stop_any,
    wait_random_exponential,
)
from tenacity.stop import stop_base

_T = TypeVar("_T")

PATIENCE_SECONDS: Final = 60.0
"""Less than the shortest silence that a render child is killed for (`progress.StallLimits`)."""
PAUSE_SECONDS_MAX: Final = 8.0
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def patiently(
    write: Callable[[], _T],
    *,
    seconds: float = PATIENCE_SECONDS,
    in_vain: Callable[[], bool] = lambda: False,
) -> _T:
    """What `write` returns; it is called again, with jittered backoff, while the disk is full.

    Raises what it raises otherwise, and OSError (ENOSPC, EDQUOT) when there is no room after
    `seconds`, or what is to be written is wanted no more (`in_vain`).
    """
    retrying = Retrying(
        retry=retry_if_exception(_is_full),
        stop=stop_any(stop_after_delay(seconds), _InVain(in_vain)),
        wait=wait_random_exponential(multiplier=0.25, max=PAUSE_SECONDS_MAX),
        reraise=True,
    )
    return retrying(write)


class _InVain(stop_base):
    def __init__(self, in_vain: Callable[[], bool]) -> None:
        self._in_vain = in_vain

    def __call__(self, retry_state: RetryCallState) -> bool:  # noqa: ARG002 - tenacity's
        return self._in_vain()


def _is_full(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in _FULL
