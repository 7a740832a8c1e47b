"""The oracle itself: whatever is wrong with a batch, it says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from farm.domain.clip import ClipState
from farm.domain.errors import ObjectMissing
from farm.domain.ledger import EventRow
from farm.objects.s3 import S3ObjectStore
from farm.store import SqlLedger
from tests.fixtures.object_store import embedded_store, object_store  # noqa: F401 - fixtures
from tests.fixtures.oracle import Verdict, check_books
from tests.node.test_agent_link import Cards, cards, no_fault, submit  # noqa: F401 - fixture


@dataclass
class Changed:
    """An object with some of its methods replaced."""

    real: Any
    methods: dict[str, Callable[..., Any]]

    def __getattr__(self, name: str) -> Any:
        return self.methods.get(name) or getattr(self.real, name)


@dataclass
class Books:
    ledger: SqlLedger | Changed
    objects: S3ObjectStore | Changed


async def test_it_finds_what_is_wrong_and_accepts_what_is_right(cards: Cards):  # noqa: F811
    batch_id = await submit(cards.rig)
    cards.start("node-0", no_fault)
    await cards.wait_until_done(batch_id)
    right = Books(cards.rig.ledger, cards.rig.objects)

    def check(books: Books, submitted: int = 3) -> Verdict:
        return check_books(books, batch_id, submitted=submitted)

    verdict = await asyncio.to_thread(check, right)
    assert verdict.states() == {ClipState.DONE: 3}
    accepted = []
    for what, books in wrong_books(right, verdict).items():
        try:
            await asyncio.to_thread(check, books)
            accepted.append(what)
        except (AssertionError, ObjectMissing):
            pass
    assert not accepted
    with pytest.raises(AssertionError):
        await asyncio.to_thread(check, right, 4)


def wrong_books(right: Books, verdict: Verdict) -> dict[str, Books]:
    """What is wrong → a farm's books with that, and only that, wrong in them."""
    ledger, objects = right.ledger, right.objects
    row = next(row for row in verdict.clips.values() if row.name == "one")
    clip_id, take = row.clip.clip_id, row.take
    assert take is not None
    segments = [chunk.objects[0].key for chunk in verdict.chunks[clip_id]]

    def changed_object(key: str, change: Callable[[bytes], bytes]) -> Books:
        def get(asked: str) -> bytes:
            data = objects.get(asked)
            return change(data) if asked == key else data

        return Books(ledger, Changed(objects, {"get": get}))

    def gone(_data: bytes) -> bytes:
        raise ObjectMissing("gone")

    def changed_events(change: Callable[[list[EventRow]], list[EventRow]]) -> Books:
        def events(**options: Any) -> list[EventRow]:
            return change(ledger.events(**options))

        return Books(Changed(ledger, {"events": events}), objects)

    def without(kind: str) -> Books:
        first = next(e for e in verdict.events if e.kind == kind and e.clip_id == clip_id)
        return changed_events(lambda all_: [event for event in all_ if event != first])

    def twice(kind: str) -> Books:
        return changed_events(lambda all_: [e for e in all_ for _ in range(1 + (e.kind == kind))])

    def one_chunk_less(asked: str) -> list[Any]:
        return ledger.chunks(asked)[:-1]

    def another_seed(*arguments: Any, **options: Any) -> list[Any]:
        rows = ledger.clips(*arguments, **options)
        return [replace(r, spec=replace(r.spec, seed=r.spec.seed + 1)) for r in rows]

    def one_more(prefix: str) -> list[Any]:
        listed = list(objects.list(prefix))
        stem = take.video.key.rpartition("/")[0]
        return [*listed, replace(listed[0], key=f"{stem}/take-00000-{'0' * 16}.mp4")]

    return {
        "a flipped bit in the take": changed_object(
            take.video.key, lambda d: d[:-1] + bytes([d[-1] ^ 1])
        ),
        "a take cut short": changed_object(take.video.key, lambda d: d[:-1]),
        "a segment is gone": changed_object(segments[1], gone),
        "a sidecar of another take": changed_object(
            take.sidecar.key, lambda d: d.replace(b'"frames": 99', b'"frames": 98', 1)
        ),
        "a clip without a lease": without("lease"),
        "a clip without its end": without("done"),
        "a clip delivered twice": twice("done"),
        "a chunk recorded twice": twice("chunk"),
        "a chunk without a row": Books(Changed(ledger, {"chunks": one_chunk_less}), objects),
        "pictures of another seed": Books(Changed(ledger, {"clips": another_seed}), objects),
        "an upload of nobody's": Books(ledger, Changed(objects, {"list": one_more})),
    }
