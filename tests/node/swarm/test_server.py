"""A node gives pieces of the model that is offered, to those who show the rollout's token."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from heliostat.v1 import node_service_pb2 as node_pb
from node_agent.models import write_manifest
from node_agent.models.sources import Stumbled
from node_agent.models.swarm.client import Busy, Client, Void, Wrong
from node_agent.models.swarm.pieces import table_of
from node_agent.models.swarm.server import SLOTS, PieceServer
from node_agent.models.swarm.store import PieceStore
from tests.fixtures.paper_model import WEIGHTS, build_paper_model


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PieceServer]:
    model = build_paper_model(tmp_path / "model", floats=300_000)
    manifest = write_manifest(model, name="helios-paper", revision="abc")
    made = PieceServer("127.0.0.1")
    made.token, made.store = "secret", PieceStore(model, manifest, table_of(model, manifest))
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def client(server: PieceServer, *, token: str = "secret", certificate: str = "") -> Client:
    assert server.store is not None
    neighbour = node_pb.Neighbour(
        node="n1", url=server.url, certificate=certificate or server.certificate
    )
    return Client(neighbour, server.store.manifest.digest, token)


def ask(server: PieceServer, number: int, **said: str):  # type: ignore[no-untyped-def]
    store = server.store
    assert store is not None
    return client(server, **said).piece(
        number, store.pieces[number], len(store.pieces), lambda: True
    )


def test_it_gives_manifest_table_and_pieces(server: PieceServer) -> None:
    store = server.store
    assert store is not None
    manifest = client(server).manifest(store.manifest.digest)
    assert manifest == store.manifest
    assert client(server).table(manifest, store.table.sha256) == store.table
    assert client(server).have(len(store.pieces)) == store.have
    assert ask(server, 1).have == store.have
    assert sum(len(ask(server, n).content) for n in range(len(store.pieces))) == manifest.size


def test_without_the_token_there_is_nothing(server: PieceServer) -> None:
    with pytest.raises(Stumbled, match="401"):
        ask(server, 0, token="another")


def test_another_certificate_is_not_believed(server: PieceServer) -> None:
    with PieceServer("127.0.0.1") as other, pytest.raises(Stumbled, match=r"(?i)certificate"):
        ask(server, 0, certificate=other.certificate)


def test_what_is_not_here_is_not_given(server: PieceServer) -> None:
    assert server.store is not None
    server.store.have &= ~1
    with pytest.raises(Stumbled, match="404"):
        ask(server, 0)
    server.store.manifest = server.store.manifest.__class__("other", "", "r", ())
    assert Client(
        node_pb.Neighbour(node="n1", url=server.url, certificate=server.certificate),
        "0" * 64,
        "secret",
    ).manifest("0" * 64) is None  # fmt: skip


def test_with_all_hands_full_it_says_so(server: PieceServer) -> None:
    for _ in range(SLOTS):
        assert server.slots.acquire(blocking=False)
    with pytest.raises(Busy):
        ask(server, 0)
    server.slots.release()
    ask(server, 0)


def test_a_flipped_bit_is_seen(server: PieceServer, tmp_path: Path) -> None:
    store = server.store
    assert store is not None
    number = next(n for n, piece in enumerate(store.pieces) if piece.path == WEIGHTS)
    content = bytearray((tmp_path / "model" / WEIGHTS).read_bytes())
    content[5] ^= 1
    (tmp_path / "model" / WEIGHTS).write_bytes(content)
    with pytest.raises(Wrong, match="n1"):
        ask(server, number)


def test_a_piece_that_nobody_waits_for_is_broken_off(server: PieceServer) -> None:
    store = server.store
    assert store is not None
    with pytest.raises(Void):
        client(server).piece(0, store.pieces[0], len(store.pieces), lambda: False)
