"""A node's verified models, read-only, for its neighbours: one download feeds a rack.

`/` lists the models, `/NAME/PATH` is a file that the manifest of NAME names, or the manifest
itself. Nothing else of the disk can be asked for.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import os
import re
import socket
import ssl
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import unquote, urlsplit

from node_agent.models.catalog import catalog
from node_agent.models.info import ModelError
from node_agent.models.manifest import MANIFEST_NAME, Manifest, load_manifest
from node_agent.models.verify import verify
from node_agent.models.watch import UNWATCHED, Watch

_IDLE_SECONDS_MAX: Final = 60
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(frozen=True, slots=True)
class Shelf:
    """What is served."""

    manifests: dict[str, Manifest]
    """By the name in the address, which is the directory's."""
    files: dict[str, Path]
    """By path of the address, `/NAME/PATH`."""


def shelf(directory: Path, *, stamps: Path | None = None, watch: Watch = UNWATCHED) -> Shelf:
    """The intact models of `directory`, which is a model or holds models.

    Damaged ones are left out and told of. Raises `ModelError` when none is left.
    """
    if (directory / MANIFEST_NAME).exists():
        pinned = [directory.resolve()]
    else:
        pinned = [entry.directory for entry in catalog(directory, stamps)]
    manifests, files = {}, {}
    for model in pinned:
        try:
            manifest = load_manifest(model)
            problems = verify(model, stamps=stamps, watch=watch)
        except ModelError as error:
            watch.say(f"not served: {error}")
            continue
        if problems:
            watch.say(f"not served: {model}: {'; '.join(map(str, problems))}")
            continue
        manifests[model.name] = manifest
        for path in (MANIFEST_NAME, *(file.path for file in manifest.files)):
            files[f"/{model.name}/{path}"] = model / path
    if not files:
        raise ModelError(f"{directory}: no intact model to serve; pin or fetch one")
    return Shelf(manifests, files)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class ModelServer(ThreadingHTTPServer):
    """Serves a shelf; each connection has a thread.

    Off loopback it wants a token, and a certificate so that the token does not travel in the
    clear; `plain` does without the certificate. Raises `ModelError` for what lacks.
    """

    daemon_threads = True

    def __init__(
        self,
        shelf: Shelf,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        token: str = "",
        certificate: tuple[Path, Path] | None = None,
        plain: bool = False,
    ) -> None:
        if not token and not is_loopback(host):
            raise ModelError(
                f"{host} can be reached by others: set HELIOSTAT_MODEL_TOKEN or --token-file,"
                " or serve on 127.0.0.1"
            )
        if not (certificate or plain or is_loopback(host)):
            raise ModelError(
                f"{host} can be reached by others: give --cert and --key, or --plain-http where the"
                " network is your own and the token may travel in the clear"
            )
        self.shelf = shelf
        self.token = token
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)
        self.scheme = "https" if certificate else "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            # The handshake is the connection's thread's: a silent peer holds up nobody else.
            self.socket = context.wrap_socket(
                self.socket, server_side=True, do_handshake_on_connect=False
            )

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port = self.server_address[:2]
        text = host.decode() if isinstance(host, bytes | bytearray) else host
        return f"{self.scheme}://{f'[{text}]' if ':' in text else text}:{port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A peer that went away is no error of ours."""


class Guarded(Protocol):
    """A server that wants a token."""

    token: str


class Handler(BaseHTTPRequestHandler):
    """One connection that shows the server's token and gets files, or parts of them."""

    server: Guarded  # type: ignore[assignment]
    protocol_version = "HTTP/1.1"
    server_version = "heliostat"
    sys_version = ""
    timeout = _IDLE_SECONDS_MAX

    def do_GET(self) -> None:
        """Answer with a file, a part of it, or the list of models."""
        self._answer(body=True)

    def do_HEAD(self) -> None:
        """Answer without the body."""
        self._answer(body=False)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Nothing: a fetch of many parts would fill the screen."""

    def _answer(self, *, body: bool) -> None:
        if self._may_come_in():
            self.answer(unquote(urlsplit(self.path).path), body)
        else:
            self.text(HTTPStatus.UNAUTHORIZED, "a bearer token is needed\n", body)

    def answer(self, path: str, body: bool) -> None:
        """Answer who may come in."""
        raise NotImplementedError

    def _may_come_in(self) -> bool:
        said = self.headers.get("Authorization", "").encode()
        wanted = f"Bearer {self.server.token}".encode()
        return not self.server.token or hmac.compare_digest(said, wanted)

    def text(self, status: HTTPStatus, text: str, body: bool) -> None:
        """Answer with a few words, or JSON."""
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if status == 200 else "text/plain")
        self.send_header("Content-Length", str(len(content)))
        if status == HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", "Bearer")
        self.end_headers()
        if body:
            self.wfile.write(content)


class _Handler(Handler):
    """Gives what the shelf has."""

    server: ModelServer

    def answer(self, path: str, body: bool) -> None:
        """A file, a part of it, or the list of models."""
        if path == "/":
            models = [
                {"name": name, "digest": manifest.digest, "bytes": manifest.size}
                for name, manifest in sorted(self.server.shelf.manifests.items())
            ]
            self.text(HTTPStatus.OK, json.dumps({"models": models}) + "\n", body)
        elif path not in self.server.shelf.files:
            self.text(HTTPStatus.NOT_FOUND, "no manifest here names this file\n", body)
        else:
            self._file(self.server.shelf.files[path], body)

    def _file(self, file: Path, body: bool) -> None:
        try:
            source = file.open("rb")
        except OSError:
            self.text(HTTPStatus.NOT_FOUND, "the file has gone\n", body)
            return
        with source:
            size = os.fstat(source.fileno()).st_size
            part = _part(self.headers.get("Range", ""), size)
            if part is None:
                self.send_response(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
                self.send_header("Content-Range", f"bytes */{size}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            if len(part) < size:
                self.send_response(HTTPStatus.PARTIAL_CONTENT)
                self.send_header("Content-Range", f"bytes {part.start}-{part.stop - 1}/{size}")
            else:
                self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(len(part)))
            self.end_headers()
            if body and part:
                self.connection.sendfile(source, part.start, len(part))


def _part(header: str, size: int) -> range | None:
    """The bytes that a Range header asks for: all without one that we know, None beyond the end."""
    asked = _RANGE.fullmatch(header.strip())
    if asked is None or asked[0] == "bytes=-":
        return range(size)
    if not asked[1]:
        return range(max(size - int(asked[2]), 0), size) if int(asked[2]) else None
    start = int(asked[1])
    stop = min(int(asked[2]) + 1, size) if asked[2] else size
    return range(start, stop) if start < stop else None
