"""Asks neighbours for what they have of a model, and its source for single pieces."""

from __future__ import annotations

import hashlib
import ssl
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Final

import urllib3
from urllib3.exceptions import HTTPError

from heliostat.swarm.bits import all_of
from heliostat.v1 import node_service_pb2 as node_pb
from node_agent.models.info import ModelError
from node_agent.models.manifest import Manifest, parse_manifest
from node_agent.models.sources import MANIFEST_BYTES_MAX, Source, Stumbled
from node_agent.models.swarm.pieces import Piece, PieceTable, parse_table
from node_agent.models.swarm.server import HAVE

CONNECT_SECONDS_MAX: Final = 5.0
READ_SECONDS_MAX: Final = 20.0
PIECE_SECONDS_MAX: Final = 300.0
"""A piece that takes longer is given up."""
_BLOCK_BYTES: Final = 256 << 10


class Busy(Exception):
    """The neighbour serves as many as it can."""


class Wrong(Exception):
    """What came is not the piece."""


class Void(Exception):
    """Nobody waits for the piece any more."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A piece that is what it should be."""

    content: bytes
    have: int | None = None
    """What its sender has by now; None where that is not said."""


class Client:
    """One neighbour; several threads may ask."""

    def __init__(self, neighbour: node_pb.Neighbour, digest: str, token: str) -> None:
        """Trusts the neighbour's certificate, and no other. Raises `ModelError`."""
        self.name = neighbour.node
        self._url = f"{neighbour.url}/{digest}"
        try:
            context = ssl.create_default_context(cadata=neighbour.certificate)
        except (ssl.SSLError, ValueError) as error:
            raise ModelError(f"{self.name}: its certificate cannot be read ({error})") from error
        context.check_hostname = False  # it is known by the certificate itself
        self._pool = urllib3.PoolManager(
            maxsize=4,
            retries=False,
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS_MAX, read=READ_SECONDS_MAX),
            ssl_context=context,
            headers={"Authorization": f"Bearer {token}", "Accept-Encoding": "identity"},
        )

    def manifest(self, digest: str) -> Manifest | None:
        """The model's, None where it does not have it. Raises `Stumbled`, `ModelError`."""
        content = self._small("manifest")
        if content is None:
            return None
        found = parse_manifest(content, f"{self._url}/manifest")
        if found.digest != digest:
            raise ModelError(f"{self.name}: its manifest is of {found.digest}, not of {digest}")
        return found

    def table(self, manifest: Manifest, sha256: str) -> PieceTable | None:
        """The table of that SHA-256, None where it does not have it. Raises as `manifest`."""
        content = self._small("table")
        if content is None:
            return None
        if (found := hashlib.sha256(content).hexdigest()) != sha256:
            raise ModelError(f"{self.name}: its table of pieces is {found}, wanted is {sha256}")
        return parse_table(content, manifest, f"{self._url}/table")

    def have(self, count: int) -> int:
        """Which of the pieces it has. Raises `Stumbled`."""
        content = self._small("have")
        return _pieces(content.decode("ascii", "replace"), count) if content else 0

    def piece(self, number: int, piece: Piece, count: int, wanted: Callable[[], bool]) -> Answer:
        """A piece. Raises `Busy`, `Stumbled`, `Wrong`, and `Void` once it is not wanted."""
        until = time.monotonic() + PIECE_SECONDS_MAX
        content = bytearray()
        try:
            with closing(self._get(str(number))) as answer:
                if answer.status == 503:
                    answer.drain_conn()
                    raise Busy
                if answer.status != 200:
                    raise Stumbled(f"{self.name}: answered {answer.status} for piece {number}")
                for block in answer.stream(_BLOCK_BYTES, decode_content=False):
                    content += block
                    if not wanted():
                        raise Void
                    if len(content) > piece.size or time.monotonic() > until:
                        break
                have = answer.headers.get(HAVE, "")
                if len(content) == piece.size:
                    answer.release_conn()
        except (HTTPError, OSError) as error:
            raise Stumbled(f"{self.name}: {error}") from error
        if len(content) < piece.size:
            raise Stumbled(f"{self.name}: {len(content)} of {piece.size} bytes of piece {number}")
        return Answer(verified(content, piece, self.name), _pieces(have, count) if have else None)

    def _small(self, what: str) -> bytes | None:
        """A short answer; None for what is not there. Raises `Stumbled`."""
        try:
            with closing(self._get(what)) as answer:
                content = answer.read(MANIFEST_BYTES_MAX + 1, decode_content=False)
                answer.release_conn()
        except (HTTPError, OSError) as error:
            raise Stumbled(f"{self.name}: {error}") from error
        if answer.status == 404:
            return None
        if answer.status != 200 or len(content) > MANIFEST_BYTES_MAX:
            raise Stumbled(f"{self.name}: answered {answer.status} for {what}")
        return content

    def _get(self, what: str) -> urllib3.BaseHTTPResponse:
        return self._pool.request(
            "GET", f"{self._url}/{what}", preload_content=False, redirect=False
        )


def from_source(source: Source, piece: Piece, wanted: Callable[[], bool]) -> Answer:
    """A piece from where the model comes from. Raises `Stumbled`, `Wrong`, `Void`."""
    content = bytearray()
    try:
        with closing(source.read(piece.path, piece.offset, piece.size)) as blocks:
            for block in blocks:
                content += block
                if not wanted():
                    raise Void
                if len(content) >= piece.size:
                    break
    except ModelError as error:
        raise Stumbled(str(error)) from error
    if len(content) < piece.size:
        raise Stumbled(f"{source.address}/{piece.path}: {len(content)} of {piece.size} bytes")
    return Answer(verified(content[: piece.size], piece, source.address))


def verified(content: bytearray, piece: Piece, sender: str) -> bytes:
    """What came, if it is the piece. Raises `Wrong`."""
    found = hashlib.sha256(content).hexdigest()
    if len(content) != piece.size or found != piece.sha256:
        raise Wrong(
            f"{sender}: sent {len(content)} bytes with SHA-256 {found} for {piece.path} from"
            f" byte {piece.offset} on, which has {piece.size} with {piece.sha256}"
        )
    return bytes(content)


def _pieces(text: str, count: int) -> int:
    """A set as a neighbour writes it; what is not in the model is left out."""
    try:
        return int(text, 16) & all_of(count)
    except ValueError:
        raise Stumbled(f"{text[:40]!r} is no set of pieces") from None
