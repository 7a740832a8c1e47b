"""Many exchanges, one call: while one is under way, what arrives waits and goes together."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from farm.gateway.coordinator_link import CoordinatorLink, CoordinatorUnavailable, GatewayBusy
from farm.gateway.settings import Limits

_Waiting = tuple[bytes, "asyncio.Future[bytes]"]


class Coalescer:
    """At most one `exchange` call of the link at a time, each with all that waits."""

    def __init__(
        self, link: CoordinatorLink, limits: Limits, observe_group: Callable[[int], None]
    ) -> None:
        self._link = link
        self._limits = limits
        self._observe_group = observe_group
        self._waiting: deque[_Waiting] = deque()
        self._pump: asyncio.Task[None] | None = None

    async def call(self, request: bytes) -> bytes:
        """The coordinator's response. Raises `GatewayBusy`, `CoordinatorUnavailable`."""
        if len(self._waiting) >= self._limits.exchanges_max:
            raise GatewayBusy(
                f"{self._limits.exchanges_max} exchanges wait for the coordinator (exchanges_max)"
            )
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, answer))
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._run())
        return await answer

    async def _run(self) -> None:
        while self._waiting:
            group: list[_Waiting] = []
            while self._waiting and len(group) < self._limits.group_max:
                waiting = self._waiting.popleft()
                if not waiting[1].done():
                    group.append(waiting)
            if group:
                self._observe_group(len(group))
                await self._send(group)

    async def _send(self, group: Sequence[_Waiting]) -> None:
        try:
            async with asyncio.timeout(self._limits.coordinator_seconds_max):
                responses = await self._link.exchange([request for request, _ in group])
            pairs = list(zip(group, responses, strict=True))
        except CoordinatorUnavailable as error:
            _fail(group, error)
        except TimeoutError as error:
            seconds = self._limits.coordinator_seconds_max
            _fail(group, _unavailable(f"no answer within {seconds:.0f} s", error))
        except Exception as error:  # noqa: BLE001 - every one of the group is told
            if len(group) > 1:
                # One request that the coordinator chokes on must not starve the others.
                for waiting in group:
                    await self._send([waiting])
            else:
                _fail(group, _unavailable(f"the exchange failed: {error}", error))
        else:
            for (_, answer), response in pairs:
                if not answer.done():
                    answer.set_result(response)


def _unavailable(text: str, cause: BaseException) -> CoordinatorUnavailable:
    error = CoordinatorUnavailable(f"coordinator: {text}; try again")
    error.__cause__ = cause
    return error


def _fail(group: Sequence[_Waiting], error: CoordinatorUnavailable) -> None:
    for _, answer in group:
        if not answer.done():
            answer.set_exception(error)
