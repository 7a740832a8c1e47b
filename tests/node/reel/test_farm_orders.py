"""A branch or an extension that the farm orders is the one that is made by hand, to the byte.

The farm takes chunks over by reference; here they are those of a reel, put into its store.
"""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import jsonschema
import pytest
from sqlalchemy import insert, update

from farm.coordinator import Coordinator
from farm.domain.ledger import ChunkRow, StoredObject
from farm.domain.spec import ClipSpec, Fork, PromptMark
from farm.objects.s3 import S3ObjectStore
from farm.plan.policy import Policy
from farm.store import tables as t
from farm.store.options import option_values
from farm.store.rows import chunk_values
from node_agent.encode import encode_segment, sha256_hex
from node_agent.reel.reel import Reel, ReelFile, reel_of
from node_agent.render import renderer
from node_agent.render.child import ChildOptions
from node_agent.render.testcard import TestCardRenderer, card_of, read_card
from tests.fixtures.gateway import Rig, submission
from tests.fixtures.object_store import embedded_store, object_store  # noqa: F401 - fixtures
from tests.node.reel.conftest import PROMPT, Studio
from tests.node.test_agent_link import Cards, SystemClock, no_fault
from tests.node.test_sidecar import SCHEMA
from tests.node.test_testcard import a_spec, never

NIGHT = "Night falls over the snow."
POLICY = Policy(lease_seconds=600.0, exchange_seconds=1.0)


@pytest.fixture
async def cards(
    tmp_path: Path,
    object_store: S3ObjectStore,  # noqa: F811 - the fixture
) -> AsyncIterator[Cards]:
    async with Rig(tmp_path, objects=object_store, clock=SystemClock()) as rig:
        cards = Cards(rig, tmp_path / "spool")
        yield cards
        await cards.stop_all()


@pytest.fixture(scope="module")
def branch(studio: Studio, whole: Path) -> Path:
    """The whole clip with another prompt and other random numbers from chunk 1 on."""
    options = ("--from-chunk", 1, "--seed", 7, "--prompt", NIGHT, "--blend-chunks", 2)
    return studio.make("farm_branch.mp4", "branch", whole, *options)


@pytest.fixture(scope="module")
def extension(studio: Studio, trimmed: Path) -> Path:
    """The trimmed clip, longer and with another prompt where it ended."""
    options = ("--frames", 90, "--prompt", NIGHT, "--blend-chunks", 1)
    return studio.make("farm_extension.mp4", "extend", trimmed, *options)


def reel_chunks(film: Path, count: int) -> list[dict[str, bytes]]:
    """The files of a film's first chunks, by what they are."""
    reel = Reel.open(reel_of(film))

    def read(file: ReelFile | None) -> bytes:
        assert file is not None
        return reel.path(file).read_bytes()

    chunks = [
        {"segment": read(chunk.segment), "negative": read(chunk.negative)}
        for chunk in reel.record.chunks[:count]
    ]
    chunks[0] |= {"init": read(reel.record.init), "embeddings": read(reel.record.embeddings)}
    return chunks


def card_chunks(count: int, **changes: Any) -> list[dict[str, bytes]]:
    """The same of a test card."""
    spec = a_spec(name="one", prompt=PROMPT, seed=0, **changes)
    clip = TestCardRenderer().start(spec)
    segments = [
        encode_segment(clip.step(never).frames, start_frame=33 * number, fps=24)
        for number in range(count)
    ]
    chunks = [{"segment": segment.media} for segment in segments]
    chunks[0]["init"] = segments[0].init
    return chunks


async def ordered(cards: Cards, chunks: list[dict[str, bytes]], **changes: Any) -> str:
    """A clip of 90 frames that takes these chunks over, and asks for `changes` of its spec."""
    rig = cards.rig
    row = {"id": "one", "prompt": PROMPT, "frames": "90", "size": "64x64", "seed": "0"}
    batch_id = (await rig.batches.Submit(submission([{**row, "steps": "1,1,1"}]))).batch.batch_id
    clip_id = f"{batch_id}-00001"
    spec: ClipSpec = replace(rig.ledger.clip_rows([clip_id])[clip_id].spec, **changes)
    rows = []
    for number, files in enumerate(chunks):
        stored = []
        for kind, content in files.items():
            key = f"elsewhere/{number}/{kind}"
            rig.objects.put(key, content, "application/octet-stream")
            digest = sha256_hex(content)
            stored.append(StoredObject(kind=kind, key=key, sha256=digest, size_bytes=len(content)))
        chunk = ChunkRow(
            clip_id=clip_id, chunk=number, attempt=1, card_id="elsewhere", frames=33,
            render_seconds=1.0, encode_seconds=0.1, objects=tuple(stored), profile="exact",
        )  # fmt: skip
        rows.append(chunk_values(chunk, 1.0))
    with rig.store._engine.begin() as connection:
        if rows:
            connection.execute(insert(t.chunks), rows)
        connection.execute(update(t.texts).values(options=option_values(spec)))
        counted = {"chunks_done": len(rows)}
        origin = {"origin_kind": "branch", "origin_clip": "b-1", "origin_chunks": len(rows)}
        connection.execute(update(t.clips).values(**counted, **origin))
        connection.execute(update(t.tallies).where(t.tallies.c.clips > 0).values(**counted))
    rig.link.coordinator = Coordinator(rig.store, rig.clock, POLICY)
    return batch_id


async def delivered(cards: Cards, batch_id: str) -> tuple[bytes, dict[str, Any]]:
    """The take and its sidecar."""
    await cards.wait_until_done(batch_id)
    (row,) = cards.rig.ledger.clips(batch_id, limit=9)
    assert row.take is not None
    content = json.loads(cards.rig.objects.get(row.take.sidecar.key))
    jsonschema.validate(content, SCHEMA)
    return cards.rig.objects.get(row.take.video.key), content


def helios(studio: Studio) -> ChildOptions:
    return ChildOptions(renderer="helios", model=studio.model, threads=1)


async def test_a_branch_is_the_one_made_by_hand(
    cards: Cards, studio: Studio, whole: Path, branch: Path
):
    mark, fork = PromptMark(1, NIGHT, 2), Fork(1, 7)
    batch_id = await ordered(cards, reel_chunks(whole, 1), schedule=(mark,), fork=fork)
    cards.start("node-0", no_fault, child=helios(studio))
    take, sidecar = await delivered(cards, batch_id)
    assert take == branch.read_bytes()
    assert sidecar["fork"] == {"chunk": 1, "seed": 7}
    assert sidecar["origin"] == {"kind": "branch", "clip_id": "b-1", "chunks": 1}
    assert [chunk["card_id"] for chunk in sidecar["chunks"]] == ["elsewhere", "node-0", "node-0"]


async def test_a_fork_rendered_from_nothing_is_the_branch(
    cards: Cards, studio: Studio, branch: Path
):
    changes = {"schedule": (PromptMark(1, NIGHT, 2),), "fork": Fork(1, 7)}
    batch_id = await ordered(cards, [], **changes)
    cards.start("node-0", no_fault, child=helios(studio))
    take, _ = await delivered(cards, batch_id)
    assert take == branch.read_bytes()


async def test_an_extension_is_the_one_made_by_hand(
    cards: Cards, studio: Studio, trimmed: Path, extension: Path
):
    """The trimmed chunk is not taken over but rendered again."""
    chunks = reel_chunks(trimmed, 1)
    batch_id = await ordered(cards, chunks, schedule=(PromptMark(2, NIGHT, 1),))
    cards.start("node-0", no_fault, child=helios(studio))
    take, sidecar = await delivered(cards, batch_id)
    assert take == extension.read_bytes()
    assert sidecar["schedule"] == [{"chunk": 2, "prompt": NIGHT, "blend_chunks": 1}]


async def test_a_test_cards_branch_is_the_clip_that_has_the_fork_from_the_beginning(
    cards: Cards,
):
    changes = {"schedule": (PromptMark(1, NIGHT),), "fork": Fork(1, 7)}
    batch_id = await ordered(cards, card_chunks(1), **changes)
    cards.start("node-0", no_fault)
    take, _ = await delivered(cards, batch_id)
    with av.open(io.BytesIO(take)) as film:
        shown = [read_card(frame.to_ndarray(format="rgb24")) for frame in film.decode(video=0)]
    assert shown == [card_of("one", 0 if number < 33 else 7, number) for number in range(90)]
    marks = (renderer.PromptMark(chunk=1, prompt=NIGHT),)
    at_once = card_chunks(3, schedule=marks, fork=renderer.Fork(chunk=1, seed=7))
    rows = cards.rig.ledger.chunks(f"{batch_id}-00001")
    (stored,) = (each for each in rows[1].objects if each.kind == "segment")
    assert cards.rig.objects.get(stored.key) == at_once[1]["segment"]
