"""One channel to a farm for asyncio: what `farm.client.connection` says, with `await`."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message
from tenacity import (
    AsyncRetrying,
    retry_if_exception,
    stop_after_attempt,
    wait_exponential,
    wait_random,
)

from farm.client.connection import (
    DEADLINE_SECONDS,
    SUBMIT_ATTEMPTS,
    SUBMIT_SECONDS,
    WATCH_SECONDS,
    is_away,
    metadata_of,
    options_of,
    target_of,
)
from farm.client.errors import from_rpc
from farm.client.farm import Farm
from farm.client.watch import Resuming
from heliostat.v1 import batch_service_pb2 as pb
from heliostat.v1 import batch_service_pb2_grpc as rpc

A = TypeVar("A")


class AsyncConnection:
    """A channel that carries a bearer token, and turns failed calls into `FarmError`s."""

    def __init__(
        self, endpoint: str, token: str, ca: Path | None = None, *, name: str = ""
    ) -> None:
        self.endpoint = endpoint
        self._token, self._ca, self._name = token, ca, name
        target, credentials = target_of(endpoint, ca)
        options = options_of(name)
        self.channel = (
            grpc.aio.insecure_channel(target, options=options)
            if credentials is None
            else grpc.aio.secure_channel(target, credentials, options=options)
        )
        self.metadata = metadata_of(token)

    async def close(self) -> None:
        """End every call that is still open."""
        await self.channel.close(None)

    async def call(
        self,
        method: Callable[..., Awaitable[A]],
        request: Message,
        seconds: float = DEADLINE_SECONDS,
    ) -> A:
        """One answer to one request; idempotent, so the channel tries it again by itself."""
        with self._errors():
            return await method(request, timeout=seconds, metadata=self.metadata)

    async def send(
        self, method: Callable[..., Awaitable[A]], messages: Callable[[], Iterator[Message]]
    ) -> A:
        """One answer to a stream of messages, sent anew from the start when the farm was away."""
        again = AsyncRetrying(
            retry=retry_if_exception(is_away),
            stop=stop_after_attempt(SUBMIT_ATTEMPTS),
            wait=wait_exponential(multiplier=0.5, max=5) + wait_random(0, 0.5),
            reraise=True,
        )

        async def once() -> A:
            parts = _in_threads(messages())
            return await method(parts, timeout=SUBMIT_SECONDS, metadata=self.metadata)

        with self._errors():
            return await again(once)

    async def in_thread(self, call: Callable[[Farm], A]) -> A:
        """What works with files and threads, by a `Farm` of its own in a thread."""

        def run() -> A:
            with Farm(self.endpoint, self._token, self._ca, name=self._name) as farm:
                return call(farm)

        return await asyncio.to_thread(run)

    async def each_in_thread(self, call: Callable[[Farm], Iterator[A]]) -> AsyncIterator[A]:
        """The same for what gives one thing after the other."""
        with Farm(self.endpoint, self._token, self._ca, name=self._name) as farm:
            async for each in _in_threads(call(farm)):
                yield each

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except grpc.RpcError as error:
            raise from_rpc(error, self.endpoint) from error


async def watch(
    connection: AsyncConnection, stub: rpc.BatchServiceAsyncStub, resuming: Resuming
) -> AsyncIterator[pb.WatchResponse]:
    """Events from where `resuming` is; a broken stream is resumed after the last one seen."""
    while True:
        stream = stub.Watch(resuming.request, timeout=WATCH_SECONDS, metadata=connection.metadata)
        try:
            async for event in stream:
                if resuming.is_new(event):
                    yield event
            return
        except grpc.RpcError as error:
            pause = resuming.pause_after(error)
        finally:
            stream.cancel()
        await asyncio.sleep(pause)


async def _in_threads(items: Iterator[A]) -> AsyncIterator[A]:
    """What reads files, without holding the event loop up."""
    while found := await asyncio.to_thread(lambda: list(itertools.islice(items, 1))):
        yield found[0]
