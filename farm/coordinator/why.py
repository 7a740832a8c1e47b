"""Why a clip, a batch, a card or a node is as it is, in plain words, from what the books know."""

from __future__ import annotations

from farm.coordinator.books import Books
from farm.coordinator.cards import Card
from farm.domain.batch import Batch, BatchState
from farm.domain.clip import Clip, ClipState
from farm.domain.errors import NotFound
from farm.domain.fleet import Standing
from farm.domain.values import shown
from heliostat.v1 import fleet_service_pb2 as fleet_pb


def explain(books: Books, subject: str) -> fleet_pb.WhyResponse:
    """The answer for a clip's, batch's or card's id, or a node's hostname. Raises `NotFound`."""
    if (clip := books.clips.get(subject) or books.store.clip(subject)) is not None:
        return _clip(books, clip)
    if (card := books.cards.get(subject)) is not None:
        return _card(books, card)
    if subject in books.decided.nodes or any(c.row.hostname == subject for c in books.cards):
        return _node(books, subject)
    try:
        batch = books.clips.batch(subject) or books.store.batch(subject)
    except NotFound:
        raise NotFound(
            f"nothing is called {shown(subject)}: name a clip as BATCH/NAME, a batch, a card of "
            "`farm cards` or a node of `farm nodes`"
        ) from None
    return _batch(books, batch)


def _clip(books: Books, clip: Clip) -> fleet_pb.WhyResponse:
    batch = books.clips.batch(clip.batch_id) or books.store.batch(clip.batch_id)
    answer, remedies = f"It is {clip.state}.", []
    match clip.state:
        case ClipState.QUEUED if batch.state is BatchState.PAUSED:
            answer = f"It waits because its batch is paused: {batch.reason}."
            remedies = [f"farm resume {batch.batch_id}"]
        case ClipState.QUEUED:
            wait = clip.not_before - books.clock.monotonic()
            online = len(books.cards.online(books.clock.monotonic(), books.policy.lease_seconds))
            answer = f"It waits for a card: {online} of {len(books.cards)} are online."
            if wait > 0:
                answer = f"It is tried again in {wait:.0f} s."
        case ClipState.WAITING:
            answer = "It waits for clips or batches that it depends on."
        case ClipState.LEASED if clip.holder:
            answer = f"Card {clip.holder.card_id} has it: {_progress(clip)}."
        case ClipState.HELD:
            answer = "It waits for a first look."
            remedies = [f"farm looks {batch.batch_id}", f"farm approve {batch.batch_id}"]
        case ClipState.FAILED:
            answer = f"It failed: {clip.reason}."
            remedies = [f"farm retry {batch.batch_id} --failed"]
        case ClipState.CANCELLED:
            answer = f"It was cancelled: {clip.reason}."
            remedies = [f"farm retry {batch.batch_id} --cancelled"]
        case ClipState.DONE:
            answer = "It is done."
    because = [_progress(clip), f"Attempt {clip.attempt}."]
    if clip.reason and clip.state is ClipState.QUEUED:
        because.append(f"The last attempt ended so: {clip.reason}.")
    return fleet_pb.WhyResponse(
        kind="clip", subject=clip.clip_id, answer=answer, because=because, remedies=remedies
    )


def _progress(clip: Clip) -> str:
    return f"{clip.chunks_done} of {clip.chunks} chunks are recorded"


def _batch(books: Books, batch: Batch) -> fleet_pb.WhyResponse:
    answer, remedies = f"It is {batch.state}.", []
    if batch.state is BatchState.PAUSED:
        answer, remedies = f"It is paused: {batch.reason}.", [f"farm resume {batch.batch_id}"]
    elif batch.state is BatchState.CANCELLED:
        answer = f"It was cancelled: {batch.reason}."
    elif books.clips.batch(batch.batch_id) is None:
        answer = "All of its clips have ended."
    because = [f"It waits for batch {other}." for other in batch.after if books.clips.batch(other)]
    return fleet_pb.WhyResponse(
        kind="batch", subject=batch.batch_id, answer=answer, because=because, remedies=remedies
    )


def _card(books: Books, card: Card) -> fleet_pb.WhyResponse:
    row, now = card.row, books.clock.monotonic()
    standing, reason = card.standing, card.standing_reason
    held = [clip.clip_id for clip in books.clips.held_by(row.card_id)]
    remedies = []
    if row.card_id not in books.cards.online(now, books.policy.lease_seconds):
        answer = f"It was not heard of for {now - card.seen:.0f} s."
    elif standing is not Standing.OPEN:
        answer = f"It is {standing}" + (f": {reason}." if reason else ".")
        remedies = [f"farm node unlock {row.hostname}"]
    elif card.condition not in ("", "ready"):
        answer = f"It takes no clips: {card.condition}."
    else:
        answer = f"It renders {', '.join(held)}." if held else "It is ready and has no clip."
    because = [f"It holds {', '.join(held)}."] if held else []
    return fleet_pb.WhyResponse(
        kind="card", subject=row.card_id, answer=answer, because=because, remedies=remedies
    )


def _node(books: Books, hostname: str) -> fleet_pb.WhyResponse:
    cards = [card for card in books.cards if card.row.hostname == hostname]
    online = books.cards.online(books.clock.monotonic(), books.policy.lease_seconds)
    count = sum(card.row.card_id in online for card in cards)
    node = books.decided.nodes.get(hostname)
    answer, remedies = f"{count} of its {len(cards)} cards are online.", []
    if node is not None and node.standing is not Standing.OPEN:
        answer = f"It is {node.standing}" + (f": {node.reason}." if node.reason else ".")
        remedies = [f"farm node unlock {hostname}"]
    because = [f"It renders only {node.schedule}."] if node is not None and node.schedule else []
    return fleet_pb.WhyResponse(
        kind="node", subject=hostname, answer=answer, because=because, remedies=remedies
    )
