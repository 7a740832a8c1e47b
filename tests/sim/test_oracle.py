"""The oracle sees each way in which a ledger can be wrong."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from farm.sim.ledger import simulated_ledger
from farm.sim.oracle import books_problems, usage_problems, waste_problems
from farm.store import open_ledger, open_store
from tests.sim.conftest import Simulate

CLIPS = 12


@pytest.fixture
def books(simulate: Simulate) -> Path:
    _, path = simulate(failures="poison=25%,card-death=20/h", frames=[99] * CLIPS)
    return path


def problems(path: Path) -> list[str]:
    store, ledger = open_store(path), open_ledger(path)
    try:
        totals, usage = store.totals(), store.usage()[0].usage
        return [
            *books_problems(ledger, {"b0001": CLIPS}, totals),
            *usage_problems(totals, usage),
            *waste_problems(usage, sum(card.frames_open for card in store.cards())),
        ]
    finally:
        ledger.close()
        store.close()


ONE_DONE = "(SELECT clip_id FROM clips WHERE state = 'done' LIMIT 1)"
ONE_FAILED = "(SELECT clip_id FROM clips WHERE state = 'failed' LIMIT 1)"
OPEN_AGAIN = f"UPDATE clips SET state = 'leased', finished_at = NULL WHERE clip_id = {ONE_DONE}"
DONE_AGAIN = (
    "INSERT INTO events (at, epoch, batch_id, clip_id, kind, from_state, to_state, attempt,"
    " card_id, detail) SELECT at, epoch, batch_id, clip_id, kind, from_state, to_state, attempt,"
    f" card_id, detail FROM events WHERE kind = 'done' AND clip_id = {ONE_DONE}"
)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (f"DELETE FROM takes WHERE clip_id = {ONE_DONE}", "done without a take"),
        (f"UPDATE takes SET frames = 98 WHERE clip_id = {ONE_DONE}", "it has 98"),
        (f"UPDATE takes SET attempt = 9 WHERE clip_id = {ONE_DONE}", "its take is of attempt 9"),
        (f"DELETE FROM chunks WHERE clip_id = {ONE_DONE} AND chunk = 1", "chunks done, and rows"),
        (f"UPDATE chunks SET card_id = 'x' WHERE clip_id = {ONE_DONE}", "not those of its history"),
        (f"UPDATE clips SET attempt = 7 WHERE clip_id = {ONE_DONE}", "is at attempt 7"),
        (f"UPDATE clips SET reason = '' WHERE clip_id = {ONE_FAILED}", "failed without a reason"),
        (OPEN_AGAIN, "has not ended"),
        (f"DELETE FROM events WHERE kind = 'lease' AND clip_id = {ONE_DONE}", "was queued"),
        (DONE_AGAIN, "was done 2 times"),
        ("UPDATE tallies SET clips = clips + 1 WHERE state = 'done'", "tallies and clips differ"),
        ("UPDATE tallies SET clips = 1 WHERE state = 'leased'", "a lease is left"),
        ("UPDATE totals SET clips_delivered = 1", "total of clips_delivered is 1"),
        (
            "UPDATE usage SET frames_delivered = 1",
            "total of frames_delivered is 990, its usage has 2",
        ),
        ("UPDATE usage SET waste_frames = waste_frames + 33", "rendered and not delivered"),
    ],
)
def test_damage_to_the_books_is_seen(books: Path, damage: str, said: str) -> None:
    assert problems(books) == []
    connection = sqlite3.connect(books)
    try:
        assert connection.execute(damage).rowcount > 0
        connection.commit()
    finally:
        connection.close()
    assert any(said in problem for problem in problems(books)), problems(books)


def test_a_clip_that_went_missing_is_seen(books: Path) -> None:
    ledger = open_ledger(books)
    try:
        found = books_problems(ledger, {"b0001": CLIPS + 1})
    finally:
        ledger.close()
    assert found == [f"batch b0001 has {CLIPS} clips, {CLIPS + 1} were submitted"]


def test_a_simulated_ledger_is_gone_afterwards() -> None:
    with simulated_ledger() as path:
        assert path.exists()
    assert not path.parent.exists()
