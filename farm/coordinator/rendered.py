"""Frames that cards have rendered: whose they are, and which of them will be in no take.

A card counts every frame that it renders, and says of each attempt how far it is. What it counted
and what neither is recorded nor can be any more is waste; `CardRow.frames_open` keeps the rest
over restarts of the coordinator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.coordinator.cards import Card
from farm.domain.clip import CHUNK_FRAMES, Clip, Holder
from heliostat.v1 import node_service_pb2 as node_pb

if TYPE_CHECKING:
    from farm.coordinator.books import Books


def heard(books: Books, request: node_pb.ExchangeRequest, now: float) -> None:
    """Count what a card rendered since its last exchange, once."""
    said = request.card
    card = books.cards.get(said.card_id)
    if card is None or card.row.incarnation != said.incarnation:
        return
    if request.telemetry.frames_rendered < card.row.frames_rendered:
        return  # an exchange that was overtaken by a later one
    new = books.cards.count_rendered(request, now)
    if not new and card.meter.frames_open == sum(card.meter.opened.values()):
        return  # nothing was made, and of what is open is known whose it is
    books.count(frames_rendered=new)
    card.meter.frames_open += new
    opened, tells_all = _opened(books, request)
    for clip, frames in opened:
        card.meter.project = books.usage.project_of(clip.batch_id)
        grown = min(new, max(0, frames - card.meter.opened.get((clip.clip_id, clip.attempt), 0)))
        if grown:
            books.usage.of(clip, frames_rendered=grown)
        new -= grown
    if new:
        books.usage.add(card.meter.project, frames_rendered=new)
    card.meter.opened = {(clip.clip_id, clip.attempt): frames for clip, frames in opened}
    if tells_all:
        _waste(
            books,
            card,
            card.meter.frames_open - sum(card.meter.opened.values()),
            card.meter.project,
        )


def recorded(books: Books, clip: Clip, card_id: str) -> None:
    """A chunk of a clip was recorded."""
    card, key = books.cards.get(card_id), (clip.clip_id, clip.attempt)
    if card is None:
        return
    card.meter.frames_open -= CHUNK_FRAMES
    books.cards.note(card_id)
    if key in card.meter.opened:
        card.meter.opened[key] -= CHUNK_FRAMES


def given_back(books: Books, clip: Clip, card_id: str) -> None:
    """A card's lease of a clip has ended: what it has open of that is never recorded."""
    card = books.cards.get(card_id)
    if card is None:
        return
    frames = card.meter.opened.pop((clip.clip_id, clip.attempt), 0)
    if card_id not in books.clips.busy:
        frames = card.meter.frames_open
    _waste(books, card, frames, books.usage.project_of(clip.batch_id))


def forgotten(books: Books, card_id: str) -> None:
    """A card's incarnation is over, and holds nothing more."""
    card = books.cards.get(card_id)
    if card is not None:
        _waste(books, card, card.meter.frames_open, card.meter.project)
        card.meter.frames_open = 0


def _opened(books: Books, request: node_pb.ExchangeRequest) -> tuple[list[tuple[Clip, int]], bool]:
    """Clips that a card holds with their frames that are not recorded yet; False beside them where
    it does not tell how far each of them is."""
    holder = Holder(request.card.card_id, request.card.incarnation)
    found, tells_all = [], True
    for held in request.held:
        clip = books.clips.get(held.clip_id)
        if clip is None or clip.attempt != held.attempt or clip.holder != holder:
            continue
        tells_all = tells_all and held.HasField("chunks_made")
        frames = CHUNK_FRAMES * max(0, held.chunks_made - clip.chunks_done)
        if held.started or frames:
            found.append((clip, frames))
    return found, tells_all


def _waste(books: Books, card: Card, frames: int, project: str) -> None:
    if frames > 0:
        card.meter.frames_open -= frames
        books.cards.note(card.row.card_id)
        books.usage.add(project, waste_frames=frames)
