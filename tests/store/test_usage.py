"""Usage adds up by day, month and project, and older ledgers bring what they know of theirs."""

from __future__ import annotations

import pytest

from farm.domain.clip import (
    Cancelled,
    ChunkRecorded,
    Clip,
    Finished,
    Requeued,
)
from farm.domain.ledger import Commit, Totals
from farm.domain.quote import Spent
from farm.domain.usage import ChunkCosts, Usage
from farm.store import open_ledger, open_store
from tests.fixtures.ledger import LEASE, Database, Farm, new_clip
from tests.fixtures.ledger_rows import migrate

DAY = 86_400.0


@pytest.fixture
def farm(database: Database) -> Farm:
    store = database.store()
    return Farm(database, store, database.ledger(), store.claim_epoch(1.0))


def test_days_and_projects_are_added_to_and_never_replaced(farm: Farm) -> None:
    for _ in range(2):
        farm.commit(
            Commit(
                usage={
                    ("2026-11-29", "dune"): {"frames_rendered": 33, "money": 0.25},
                    ("2026-12-01", "dune"): {"frames_rendered": 66},
                    ("2026-12-01", ""): {"idle_card_seconds": 60.0},
                }
            )
        )
    of = farm.ledger.usage
    assert [(r.period, r.project, r.usage.frames_rendered) for r in of(by=["day", "project"])] == [
        ("2026-11-29", "dune", 66), ("2026-12-01", "", 0), ("2026-12-01", "dune", 132),
    ]  # fmt: skip
    assert [(r.period, r.usage.frames_rendered) for r in of(by=["month"])] == [
        ("2026-11", 66), ("2026-12", 132),
    ]  # fmt: skip
    assert [r.project for r in of(by=["project"])] == ["", "dune"]
    assert of(project="dune")[0].usage == Usage(frames_rendered=198, money=0.5)
    assert of(first="2026-11-30")[0].usage.frames_rendered == 132
    assert of(last="2026-11-30")[0].usage.frames_rendered == 66
    assert farm.ledger.usage_since() == "2026-11-29"


def test_an_empty_ledger_has_one_sum_of_nothing(farm: Farm) -> None:
    (whole,) = farm.ledger.usage()
    assert (whole.usage, whole.project, farm.ledger.usage_since()) == (Usage(), None, "")
    assert farm.ledger.usage(by=["day", "project"]) == []


def finish(farm: Farm, clip: Clip) -> Clip:
    chunks = [ChunkRecorded(n) for n in range(clip.chunks)]
    return farm.move(clip, LEASE, *chunks, Finished())


def test_the_costs_of_a_given_up_clip_are_told_once(farm: Farm) -> None:
    (clip,) = farm.submit(new_clip(1, frames=99))
    clip = farm.move(clip, LEASE, ChunkRecorded(0), ChunkRecorded(1))
    costs = farm.store.chunk_costs([clip.clip_id])
    assert costs == [ChunkCosts("b1", "card", 3.0, 812.5, 1.5)]
    farm.now += 5
    clip = farm.move(clip, Cancelled("no"), Requeued(), LEASE)
    assert farm.store.chunk_costs([clip.clip_id]) == []
    farm.now += 5
    farm.move(clip, ChunkRecorded(2))
    assert farm.store.chunk_costs([clip.clip_id]) == [ChunkCosts("b1", "card", 1.5, 812.5, 0.0)]


def test_an_older_ledger_brings_what_it_knows_of_the_days_before(database: Database) -> None:
    store = database.store()
    farm = Farm(database, store, database.ledger(), store.claim_epoch(1.0), now=10 * DAY)
    first, second = farm.submit(*[new_clip(n, frames=40) for n in (1, 2)])
    finish(farm, first)
    farm.now += DAY
    farm.move(second, LEASE, ChunkRecorded(0), Cancelled("no"))
    farm.commit(Commit(totals=Totals(frames_rendered=132, frames_delivered=40)))
    for opened in database.opened:
        opened.close()
    migrate(database.url, "0007", back=True)
    open_store(database.url).close()
    ledger = open_ledger(database.url)
    rows = ledger.usage(by=["day", "project"])
    ledger.close()
    assert [(r.period, r.project) for r in rows] == [
        ("1970-01-11", "p"), ("1970-01-12", ""), ("1970-01-12", "p"),
    ]  # fmt: skip
    delivered, nobody, given_up = (r.usage for r in rows)
    assert (delivered.frames_rendered, delivered.frames_delivered) == (66, 40)
    assert (delivered.trimmed_frames, delivered.clips_delivered) == (26, 1)
    assert delivered.video_seconds == pytest.approx(40 / 24)
    assert (given_up.frames_rendered, given_up.waste_frames) == (33, 33)
    assert (nobody.frames_rendered, nobody.waste_frames) == (33, 33)


def test_what_batches_had_cost_is_spread_over_the_days_of_their_chunks(database: Database) -> None:
    store = database.store()
    farm = Farm(database, store, database.ledger(), store.claim_epoch(1.0), now=10 * DAY)
    (clip,) = farm.submit(new_clip(1, frames=132))
    clip = farm.move(clip, LEASE, ChunkRecorded(0))
    farm.now += DAY
    farm.move(clip, ChunkRecorded(1), ChunkRecorded(2))
    farm.commit(Commit(spent={"b1": Spent(9.0, 3000.0, 0.6)}))
    for opened in database.opened:
        opened.close()
    migrate(database.url, "0007", back=True)
    open_store(database.url).close()
    ledger = open_ledger(database.url)
    first, second = (row.usage for row in ledger.usage(by=["day"]))
    ledger.close()
    assert (first.card_seconds, second.card_seconds) == pytest.approx((3.0, 6.0))
    assert (first.money, second.money) == pytest.approx((0.2, 0.4))
    assert (first.measured_joules, second.measured_joules) == pytest.approx((0.0, 1625.0))
