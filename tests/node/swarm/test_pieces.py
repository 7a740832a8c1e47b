"""The table of a model's pieces follows from its files, and no other is taken for it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node_agent.models import MANIFEST_NAME, Manifest, ModelError, load_manifest, write_manifest
from node_agent.models.fetch import fetch
from node_agent.models.manifest import ModelFile
from node_agent.models.staging import staged
from node_agent.models.stamps import Stamps
from node_agent.models.swarm.pieces import (
    PIECE_BYTES,
    PIECES_MAX,
    PieceHasher,
    PieceTable,
    Tally,
    known_table,
    parse_table,
    piece_bytes_of,
    table_of,
)
from node_agent.models.swarm.store import PieceStore
from tests.fixtures.paper_model import WEIGHTS, build_paper_model


class Directory:
    """A source that reads a directory."""

    def __init__(self, path: Path) -> None:
        self.address, self._path = str(path), path

    def manifest(self) -> bytes:
        return (self._path / MANIFEST_NAME).read_bytes()

    def read(self, path: str, offset: int, size: int | None = None):
        content = (self._path / path).read_bytes()[offset:]
        yield content if size is None else content[:size]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    made = build_paper_model(tmp_path / "model", floats=300_000)
    write_manifest(made, name="helios-paper", revision="abc")
    return made


@given(st.integers(0, 1 << 45))
def test_a_model_has_pieces_of_a_fitting_size(size: int) -> None:
    assert size <= piece_bytes_of(size) * PIECES_MAX
    if 4 << 30 <= size <= PIECE_BYTES * PIECES_MAX:
        assert piece_bytes_of(size) == PIECE_BYTES


@given(st.binary(max_size=50), st.integers(1, 9), st.lists(st.integers(1, 20), max_size=9))
def test_pieces_are_the_same_however_the_bytes_come(
    content: bytes, piece_bytes: int, cuts: list[int]
) -> None:
    at_once, in_parts, at = PieceHasher(piece_bytes), PieceHasher(piece_bytes), 0
    at_once.update(content)
    for cut in [*cuts, len(content)]:
        in_parts.update(content[at : at + cut])
        at += cut
    assert at_once.hashes() == in_parts.hashes()
    assert len(at_once._done) == -(-len(content) // piece_bytes)


def test_what_was_tallied_while_it_came_is_not_read_again(model: Path, tmp_path: Path) -> None:
    tally, manifest = Tally(), load_manifest(model)
    fetch(Directory(model), manifest, tmp_path / "copy", tally=tally)
    shutil.rmtree(tmp_path / "copy")
    assert table_of(tmp_path / "copy", manifest, tally) == table_of(model, manifest)


def test_the_table_is_remembered(model: Path, tmp_path: Path) -> None:
    manifest, stamps = load_manifest(model), tmp_path / "verified.json"
    made = known_table(model, manifest, stamps)
    (model / WEIGHTS).unlink()
    assert known_table(model, manifest, stamps).sha256 == made.sha256


def test_no_table_is_made_of_a_damaged_model(model: Path) -> None:
    (model / WEIGHTS).write_bytes(b"x" * (model / WEIGHTS).stat().st_size)
    with pytest.raises(ModelError, match=WEIGHTS):
        table_of(model, load_manifest(model))


def _damaged(**changed: object) -> bytes:
    manifest = Manifest("m", "", "r", (ModelFile("a.json", 3, "0" * 64),))
    fields = json.loads(PieceTable(manifest.digest, 2, {"a.json": ("1" * 64, "2" * 64)}).to_bytes())
    return json.dumps({**fields, **changed}).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"no JSON",
        b"[]",
        _damaged(format_version=2),
        _damaged(digest="3" * 64),
        _damaged(piece_bytes=0),
        _damaged(piece_bytes=1),
        _damaged(files={}),
        _damaged(files={"../a.json": ["1" * 64, "2" * 64]}),
        _damaged(files={"a.json": ["1" * 64, "no hash"]}),
    ],
)
def test_another_or_a_broken_table_is_refused(content: bytes) -> None:
    manifest = Manifest("m", "", "r", (ModelFile("a.json", 3, "0" * 64),))
    assert parse_table(_damaged(), manifest, "here").piece_bytes == 2
    with pytest.raises(ModelError):
        parse_table(content, manifest, "here")


class Stop(Exception):
    """The process is killed."""


def come(store: PieceStore, place: Path, model: Path, *, lost: int = -1) -> None:
    """All pieces come, and one is noted although its bytes never came to the disk."""
    with staged(place) as partial:
        store.prepare(partial, Stamps(None))
        for number, piece in enumerate(store.pieces):
            content = (model / piece.path).read_bytes()
            if number != lost:
                store.write(number, content[piece.offset : piece.offset + piece.size])
            store.note(number)
        raise Stop


def test_pieces_that_a_power_cut_has_lost_are_found_and_fetched_again(
    model: Path, tmp_path: Path
) -> None:
    manifest, known = load_manifest(model), Stamps(None)
    table = table_of(model, manifest)
    place = tmp_path / "models" / "copy"
    store = PieceStore(place, manifest, table)
    lost = next(n for n, piece in enumerate(store.pieces) if piece.path == WEIGHTS)
    with pytest.raises(Stop):
        come(store, place, model, lost=lost)
    again = PieceStore(place, manifest, table)
    with staged(place) as partial:
        again.prepare(partial, known)
        assert again.have == store.have
        bad = {path: again.finish_file(path, known) for path in list(again.unfinished())}
        assert bad == {file.path: (1 << lost) * (file.path == WEIGHTS) for file in manifest.files}
        piece = again.pieces[lost]
        again.write(lost, (model / WEIGHTS).read_bytes()[piece.offset :][: piece.size])
        assert again.note(lost) == WEIGHTS
        assert again.finish_file(WEIGHTS, known) == 0
        again.finish(tmp_path / "verified.json")
    assert load_manifest(place).digest == manifest.digest


def test_a_table_that_makes_another_file_than_the_manifest_says_is_refused(
    model: Path, tmp_path: Path
) -> None:
    manifest = load_manifest(model)
    other = build_paper_model(tmp_path / "other", floats=300_000, seed=1)
    table = table_of(other, write_manifest(other, name="helios-paper", revision="abc"))
    wrong = PieceTable(manifest.digest, table.piece_bytes, table.hashes)
    place = tmp_path / "models" / "copy"
    store = PieceStore(place, manifest, wrong)
    with pytest.raises(Stop):
        come(store, place, other)
    with pytest.raises(ModelError, match="table of pieces"):
        store.finish_file(WEIGHTS, Stamps(None))
