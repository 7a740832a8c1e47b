"""Exchanges within one process: for rehearsals and simulation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable


class LocalLink:
    """A link to a gateway that lives beside the agent."""

    def __init__(self, gateway: Callable[[bytes], Awaitable[bytes]]) -> None:
        self._gateway = gateway

    async def exchange(self, request: bytes) -> bytes:
        """See `Link.exchange`; the gateway's callable raises `LinkDown` where it has to."""
        return await self._gateway(request)
