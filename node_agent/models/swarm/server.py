"""Gives a model's pieces to neighbours, while they still come in here as well.

`/DIGEST/manifest` and `/DIGEST/table` say what there is, `/DIGEST/have` which pieces are here, in
hexadecimal, and `/DIGEST/N` is piece N. TLS with a certificate made for this start of the server,
which neighbours hear of from the farm, and the token of the farm's offer.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import socket
import ssl
import tempfile
import threading
import time
from contextlib import suppress
from http import HTTPStatus
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO, Final

from heliostat.certificates import self_signed
from node_agent.models.serve import Handler
from node_agent.models.swarm.store import PieceStore

HAVE: Final = "Heliostat-Have"
"""Header of each piece: which are here now, so that nobody has to ask for that."""
SLOTS: Final = 8
"""Pieces sent at once; whoever comes then hears 503 and goes to somebody else."""
CONNECTIONS_MAX: Final = 512
CLOCKS_DIFFER: Final = datetime.timedelta(days=2)
_BLOCK_BYTES: Final = 256 << 10


class Throttle:
    """Lets so many bytes a second pass, of all threads together; 0 is any number."""

    def __init__(self, bytes_per_second: float) -> None:
        self._rate = bytes_per_second
        self._lock = threading.Lock()
        self._free_at = 0.0

    def pause(self, count: int) -> None:
        """Return when `count` bytes may be sent."""
        if not self._rate:
            return
        with self._lock:
            now = time.monotonic()
            at = max(self._free_at, now)
            self._free_at = at + count / self._rate
        time.sleep(max(at - now, 0.0))


class PieceServer(ThreadingHTTPServer):
    """Serves one model at a time; a thread for each connection."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: str, port: int = 0, *, bytes_per_second: float = 0.0) -> None:
        """Listens on an address of this machine that neighbours reach. Raises OSError."""
        self.token = ""
        self.store: PieceStore | None = None
        self.throttle = Throttle(bytes_per_second)
        self.slots = threading.BoundedSemaphore(SLOTS)
        self.bytes_sent = 0
        self._connections = threading.BoundedSemaphore(CONNECTIONS_MAX)
        if ipaddress.ip_address(address).version == 6:
            self.address_family = socket.AF_INET6
        super().__init__((address, port), _PieceHandler)
        self.certificate, context = _identity(address)
        self.socket = context.wrap_socket(
            self.socket, server_side=True, do_handshake_on_connect=False
        )

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port = str(self.server_address[0]), self.server_address[1]
        return f"https://{f'[{host}]' if ':' in host else host}:{port}"

    def process_request(self, request: Any, client_address: Any) -> None:
        """A thread for a connection, while there are not too many."""
        if self._connections.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """The connection's thread, less urgent than whatever renders here."""
        try:
            lower_priority()
            super().process_request_thread(request, client_address)
        finally:
            self._connections.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A peer that went away is no error of ours."""


class _PieceHandler(Handler):
    """One neighbour's connection."""

    server: PieceServer
    timeout = 60

    def answer(self, path: str, body: bool) -> None:
        """What is asked of the model that is here."""
        store = self.server.store
        digest, _, what = path.removeprefix("/").partition("/")
        if store is None or digest != store.manifest.digest:
            self.text(HTTPStatus.NOT_FOUND, "nothing of this model is here\n", body)
        elif what == "manifest":
            self.text(HTTPStatus.OK, store.manifest.to_bytes().decode(), body)
        elif what == "table":
            self.text(HTTPStatus.OK, store.table.to_bytes().decode(), body)
        elif what == "have":
            self.text(HTTPStatus.OK, f"{store.have:x}", body)
        elif what.isdecimal() and int(what) < len(store.pieces):
            self._piece(store, int(what), body)
        else:
            self.text(HTTPStatus.NOT_FOUND, "there is no such piece\n", body)

    def _piece(self, store: PieceStore, number: int, body: bool) -> None:
        if not self.server.slots.acquire(blocking=False):
            self.text(HTTPStatus.SERVICE_UNAVAILABLE, "as many are served as can be\n", body)
            return
        try:
            content = store.open(number)
            if content is None:
                self.text(HTTPStatus.NOT_FOUND, "this piece is not here\n", body)
                return
            with content:
                self._send(content, store, number, body)
        finally:
            self.server.slots.release()

    def _send(self, content: BinaryIO, store: PieceStore, number: int, body: bool) -> None:
        piece = store.pieces[number]
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(piece.size))
        self.send_header(HAVE, f"{store.have:x}")
        self.end_headers()
        content.seek(piece.offset)
        left = piece.size if body else 0
        while left:
            block = content.read(min(_BLOCK_BYTES, left))
            if not block:
                self.close_connection = True  # the file was cut short under us
                return
            self.server.throttle.pause(len(block))
            self.wfile.write(block)
            self.server.bytes_sent += len(block)
            left -= len(block)


def lower_priority() -> None:
    """This thread yields to whatever renders; on Linux a thread has a priority of its own."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 15)


def _identity(address: str) -> tuple[str, ssl.SSLContext]:
    """A certificate (PEM) for this start, its own authority, and what speaks by it."""
    certificate, key = self_signed("Heliostat pieces", [address], valid_before=CLOCKS_DIFFER)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:  # ssl takes keys from files alone
        path = Path(folder) / "identity.pem"
        path.touch(0o600)
        path.write_bytes(key + certificate)
        context.load_cert_chain(path)
    return certificate.decode(), context
