"""The HTTP server of a gateway; what it serves is in `pages`."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from farm.gateway.settings import GatewaySettings


class HttpServer(uvicorn.Server):
    """uvicorn as a part of this process: signals are whose process it is."""

    def __init__(self, app: ASGIApp, sock: socket.socket, settings: GatewaySettings) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                lifespan="off",
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=2,
                log_config=None,
                ssl_keyfile=settings.tls_key,
                ssl_certfile=settings.tls_certificate,
            )
        )
        self._socket = sock
        self._task: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield

    async def start(self) -> None:
        """Serve from now on."""
        self._task = asyncio.create_task(self.serve(sockets=[self._socket]))
        while not self.started:
            if self._task.done():
                await self._task
                raise RuntimeError("the HTTP server ended at its start")
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Let what is being answered be answered, then close."""
        self.should_exit = True
        if self._task is not None:
            await self._task
        self._socket.close()


def bound_socket(host: str, port: int) -> socket.socket:
    """A socket that listens on `host`:`port` (0 takes a free one). Raises OSError with both."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise OSError(
            error.errno, f"cannot listen on {host}:{port}: {error.strerror}; choose another port"
        ) from error
    sock.set_inheritable(False)
    return sock
