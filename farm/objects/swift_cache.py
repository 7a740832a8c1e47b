"""Swift's account and container cache, kept in the proxy's own memory.

Swift asks memcached for what it knows of a container before every operation, and without one
asks the container and the account server instead: two more requests inside each request. The
embedded proxy is a single process, so a dictionary in it is as coherent as memcached would be.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

_ENTRIES_MAX = 10_000


class MemoryCache:
    """The part of Swift's memcache client that its proxy uses. Values are copied, as JSON."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._entries: dict[str, tuple[float, str]] = {}

    def get(self, key: str, raise_on_error: bool = False) -> Any:  # noqa: ARG002 - Swift's interface
        """What was set, unless its time is over."""
        ends_at, text = self._entries.get(key, (0.0, "null"))
        return json.loads(text) if self._clock() < ends_at else None

    def set(self, key: str, value: Any, time: float = 0, **_ignored: Any) -> None:
        """Keep a value for `time` seconds; 0 is for as long as there is room."""
        if len(self._entries) >= _ENTRIES_MAX:
            self._entries.clear()
        ends_at = self._clock() + time if time > 0 else float("inf")
        self._entries[key] = (ends_at, json.dumps(value))

    def delete(self, key: str, server_key: str | None = None) -> None:  # noqa: ARG002
        """Forget a value."""
        self._entries.pop(key, None)

    def incr(self, key: str, delta: int = 1, time: float = 0) -> int:
        """Add to a counter that begins at 0, never below it."""
        count = max(0, int(self.get(key) or 0) + delta)
        self.set(key, count, time=time)
        return count

    def decr(self, key: str, delta: int = 1, time: float = 0) -> int:
        """Subtract from a counter."""
        return self.incr(key, -delta, time)

    def set_multi(
        self,
        mapping: Mapping[str, Any],
        server_key: str,  # noqa: ARG002
        time: float = 0,
        **_ignored: Any,
    ) -> None:
        """Keep several values."""
        for key, value in mapping.items():
            self.set(key, value, time=time)

    def get_multi(self, keys: Iterable[str], server_key: str) -> list[Any]:  # noqa: ARG002
        """Several values, None for each that is not there."""
        return [self.get(key) for key in keys]


def filter_factory(
    _global_conf: Mapping[str, str], **_local_conf: str
) -> Callable[[Application], Application]:
    """The `cache` filter of the proxy's pipeline (paste.deploy calls this)."""
    cache = MemoryCache()

    def wrap(app: Application) -> Application:
        def cached(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            environ["swift.cache"] = cache
            return app(environ, start_response)

        return cached

    return wrap
