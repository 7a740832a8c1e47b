"""The oracle over a ledger: what must hold of its books, whatever was done to the farm (REL).

It believes nobody: every clip's history is replayed through the state machine, and compared with
the rows and tallies that should tell the same.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from farm.domain.clip import ENDED, TRANSITIONS, ClipState, EventKind, chunks_of
from farm.domain.ledger import ChunkRow, ClipRow, EventRow, Totals
from farm.domain.usage import Usage
from farm.ports import Ledger

ROWS_MAX = 10_000_000


_OF_HOLDER = frozenset(
    {EventKind.CHUNK, EventKind.DONE, EventKind.FAIL, EventKind.LOST, EventKind.YIELD}
)
"""Only the card that holds the lease makes these happen."""


def books_problems(
    ledger: Ledger, submitted: Mapping[str, int], totals: Totals | None = None
) -> list[str]:
    """What does not hold of batches that have ended: batch id → clips submitted. Empty is well.

    `totals` are the farm's counters, where these batches are all that it ever had.
    """
    problems: list[str] = []
    seen: Counter[str] = Counter()
    for batch_id, count in submitted.items():
        problems += batch_problems(ledger, batch_id, count, seen)
    if ledger.clip_counts()[ClipState.LEASED]:
        problems.append("a lease is left")
    if totals is not None:
        problems += totals_problems(totals, seen)
    return problems


def batch_problems(ledger: Ledger, batch_id: str, submitted: int, seen: Counter[str]) -> list[str]:
    """What does not hold of a batch; adds what was seen for the totals."""
    rows = ledger.clips(batch_id, limit=ROWS_MAX)
    histories: defaultdict[str, list[EventRow]] = defaultdict(list)
    for event in ledger.events(after=0, limit=ROWS_MAX, batch_id=batch_id):
        histories[event.clip_id].append(event)
    problems = []
    if len(rows) != submitted:
        problems.append(f"batch {batch_id} has {len(rows)} clips, {submitted} were submitted")
    mine = Counter(row.clip.state for row in rows)
    if ledger.progress([batch_id])[batch_id].clips != dict(mine):
        problems.append(f"batch {batch_id}: tallies and clips differ")
    for row in rows:
        chunks = ledger.chunks(row.clip.clip_id)
        problems += history_problems(row, chunks, histories[row.clip.clip_id])
        problems += ending_problems(row, chunks)
        seen["chunks"] += len(chunks) - (row.origin.chunks if row.origin else 0)
        own = row.take if not _is_reused(row) else None
        seen["delivered"] += own is not None
        seen["frames"] += own.frames if own is not None else 0
        seen["failed"] += sum(e.kind == EventKind.FAIL for e in histories[row.clip.clip_id])
    return problems


def history_problems(
    row: ClipRow, chunks: Sequence[ChunkRow], events: Sequence[EventRow]
) -> Iterator[str]:
    """A clip's events are one way through the state machine, and tell what its rows say."""
    clip, state, attempt, holder = row.clip, "", 0, ""
    recorded: list[tuple[int, str]] = []
    reused, taken_over = _is_reused(row), row.origin.chunks if row.origin else 0
    for event in events:
        where = f"{row.name}, event {event.sequence} ({event.kind})"
        if event.from_state != state:
            yield f"{where}: from {event.from_state or 'nothing'}, was {state or 'nothing'}"
        if not _is_step(event, reused):
            yield f"{where}: {event.from_state} to {event.to_state} is no transition"
        if event.kind == EventKind.LEASE:
            attempt, holder = attempt + 1, event.card_id
        elif event.kind in _OF_HOLDER and event.card_id != holder:
            yield f"{where}: by card {event.card_id}, the lease is that of {holder}"
        if event.attempt != attempt:
            yield f"{where}: attempt {event.attempt}, is {attempt}"
        if event.kind == EventKind.CHUNK:
            recorded.append((attempt, event.card_id))
        state = event.to_state
    kinds = Counter(event.kind for event in events)
    sequence = [event.sequence for event in events]
    if sequence != sorted(set(sequence)):
        yield f"{row.name}: its events are not in order"
    if kinds[EventKind.SUBMIT] != 1:
        yield f"{row.name} was submitted {kinds[EventKind.SUBMIT]} times"
    if state != clip.state:
        yield f"{row.name} is {clip.state}, its history says {state}"
    if clip.attempt != attempt:
        yield f"{row.name} is at attempt {clip.attempt}, its history has {attempt} leases"
    if [chunk.chunk for chunk in chunks] != list(range(clip.chunks_done)):
        yield f"{row.name}: {clip.chunks_done} chunks done, and rows for others"
    if [(chunk.attempt, chunk.card_id) for chunk in chunks[taken_over:]] != recorded:
        yield f"{row.name}: its chunks are not those of its history"
    if kinds[EventKind.DONE] + reused != (clip.state is ClipState.DONE):
        yield f"{row.name} is {clip.state} and was done {kinds[EventKind.DONE]} times"


def ending_problems(row: ClipRow, chunks: Sequence[ChunkRow]) -> Iterator[str]:
    """A clip ended once: with one whole take, or with a reason."""
    clip, take = row.clip, row.take
    if clip.state not in ENDED:
        yield f"{row.name} has not ended: it is {clip.state}"
    elif clip.state is not ClipState.DONE:
        if take is not None:
            yield f"{row.name} is {clip.state} and has a take"
        if not clip.reason:
            yield f"{row.name} is {clip.state} without a reason"
    elif take is None:
        yield f"{row.name} is done without a take"
    else:
        if len(chunks) != chunks_of(row.spec.frames):
            yield f"{row.name} is done with {len(chunks)} chunks"
        if {sum(chunk.frames for chunk in chunks), take.frames} != {row.spec.frames}:
            yield f"{row.name} was to have {row.spec.frames} frames, it has {take.frames}"
        if take.attempt != clip.attempt and not _is_reused(row):
            yield f"{row.name}: its take is of attempt {take.attempt}, not {clip.attempt}"


def totals_problems(totals: Totals, seen: Mapping[str, int]) -> Iterator[str]:
    """The farm's counters say what its rows say."""
    for name, counted in (
        ("chunks_recorded", seen["chunks"]),
        ("clips_delivered", seen["delivered"]),
        ("frames_delivered", seen["frames"]),
        ("attempts_failed", seen["failed"]),
    ):
        told = getattr(totals, name)
        if told != counted:
            yield f"the farm's total of {name} is {told}, its rows have {counted}"


def usage_problems(totals: Totals, usage: Usage) -> Iterator[str]:
    """What was counted by day and project says at any time what the farm's counters say."""
    for name in ("frames_rendered", "frames_delivered", "clips_delivered"):
        told, summed = getattr(totals, name), getattr(usage, name)
        if told != summed:
            yield f"the farm's total of {name} is {told}, its usage has {summed}"


def waste_problems(usage: Usage, frames_open: int) -> Iterator[str]:
    """Once every clip has ended: what was rendered was delivered, or is accounted for.

    `frames_open` are those of chunks that cards may still report.
    """
    between = usage.frames_rendered - usage.frames_delivered
    lost = usage.waste_frames + usage.trimmed_frames - usage.reused_frames
    if between != lost + frames_open:
        yield (
            f"{between} frames were rendered and not delivered: waste, trimmed and reused make "
            f"{lost} of them, {frames_open} may still be reported"
        )


def _is_reused(row: ClipRow) -> bool:
    return row.origin is not None and row.origin.kind == "reuse"


def _is_step(event: EventRow, reused: bool) -> bool:
    if event.kind == EventKind.SUBMIT:
        begun = (ClipState.DONE,) if reused else (ClipState.QUEUED, ClipState.WAITING)
        return not event.from_state and event.to_state in begun
    if not event.from_state:
        return False
    step = ClipState(event.from_state), EventKind(event.kind)
    return step in TRANSITIONS and ClipState(event.to_state) in TRANSITIONS[step]
