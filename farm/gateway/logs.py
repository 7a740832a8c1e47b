"""Lines of the logs of head and nodes: files here, questions to cards by the coordinator."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from farm.domain.errors import NotFound
from farm.gateway.desk import Desk
from farm.gateway.grpc_errors import BadRequest
from farm.gateway.why import decision_line, event_line, id_of_subject
from farm.ports import Ledger
from heliostat.logs.reading import Page, read_page, time_of, timestamp
from heliostat.logs.settings import PAGE_LINES_MAX
from heliostat.v1 import fleet_service_pb2 as fleet_pb
from heliostat.v1 import node_service_pb2 as node_pb
from heliostat.v1 import types_pb2 as types_pb

HEAD: Final = ("coordinator", "gateway")
LINES_DEFAULT: Final = 200
WAIT_SECONDS: Final = 30.0
"""For cards to answer: three times the longest pause between two exchanges."""
LOOK_SECONDS: Final = 0.25
BYTES_MAX: Final = 3 << 20
"""Of one answer: gRPC clients take 4 MiB by default."""
KNOWN_MAX: Final = 10
CLIP_EVENTS_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class Target:
    """Whose lines are asked for."""

    head: Sequence[str]
    cards: Sequence[str]
    clip_id: str = ""
    """Only lines of it."""


async def read_logs(desk: Desk, request: fleet_pb.ReadLogsRequest) -> fleet_pb.ReadLogsResponse:
    """The newest lines of a clip, card, node or part of the head, merged by time.

    Raises `NotFound`, `AmbiguousName`, `BadRequest`, `CoordinatorUnavailable`.
    """
    target = await _target(desk, request.target)
    lines_max = min(request.lines_max, PAGE_LINES_MAX) or LINES_DEFAULT
    question = node_pb.LogQuestion(clip_id=target.clip_id, lines_max=lines_max)
    if request.HasField("since"):
        question.since.CopyFrom(request.since)
    pages, problems = await _ask_cards(desk, target.cards, question)
    for name in target.head:
        page = await desk.threads.run(_read_head, desk.logs, name, question)
        pages[name] = node_pb.LogPage(lines=page.lines, cut=page.cut)
    response = fleet_pb.ReadLogsResponse(lines=_merged(pages, lines_max))
    for name in (*target.head, *target.cards):
        page_of = pages.get(name, node_pb.LogPage())
        source = response.sources.add(
            name=name, problem=problems.get(name, ""), lines=len(page_of.lines), cut=page_of.cut
        )
        if source.problem:
            source.known.extend(await desk.threads.run(_known, desk.ledger, name, target.clip_id))
    return response


async def _target(desk: Desk, name: str) -> Target:
    if not name:
        raise BadRequest("name a clip as BATCH/NAME, a card, a node, `coordinator` or `gateway`")
    if name in HEAD:
        return Target([name], [])
    fleet = (await desk.fleet.get()).cards
    if cards := [card.card_id for card in fleet if name in (card.card_id, card.hostname)]:
        return Target([], cards)
    return await desk.threads.run(_clip_target, desk.ledger, name)


def _clip_target(ledger: Ledger, name: str) -> Target:
    """A clip was logged of on every card that it was attempted on, and by the head."""
    clip_id = id_of_subject(ledger, name)
    if clip_id not in ledger.clip_rows([clip_id]):
        raise NotFound(
            f"there is no clip, card or node {name}: `farm cards` lists cards and nodes, "
            "`farm clips BATCH` a batch's clips, which are named as BATCH/NAME"
        )
    events = ledger.clip_events(clip_id, limit=CLIP_EVENTS_MAX)
    cards = dict.fromkeys(event.card_id for event in reversed(events) if event.card_id)
    return Target(HEAD, list(cards), clip_id)


async def _ask_cards(
    desk: Desk, cards: Sequence[str], question: node_pb.LogQuestion
) -> tuple[dict[str, node_pb.LogPage], dict[str, str]]:
    """Pages of those cards that answer, and why the others do not."""
    fleet = {card.card_id: card for card in (await desk.fleet.get()).cards}
    problems = {card_id: problem for card_id in cards if (problem := _absence(fleet.get(card_id)))}
    asked = [card_id for card_id in cards if card_id not in problems]
    if not asked:
        return {}, problems
    number = await desk.link.ask_logs(question.SerializeToString(), asked)
    answers: dict[str, bytes] = {}
    deadline = asyncio.get_running_loop().time() + WAIT_SECONDS
    while len(answers) < len(asked) and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(LOOK_SECONDS)
        answers = await desk.link.log_answers(number)
    silent = f"did not answer within {WAIT_SECONDS:.0f} s: ask again"
    problems |= {card_id: silent for card_id in asked if card_id not in answers}
    pages = {card_id: node_pb.LogPage.FromString(data) for card_id, data in answers.items()}
    return pages, problems


def _absence(card: types_pb.Card | None) -> str:
    """Why a card cannot be asked; empty where it can."""
    if card is None:
        return "is not in the fleet any more: its log is where it was, on its node"
    if not card.online:
        said = f" ({card.condition})" if card.condition else ""
        return (
            f"is offline, last heard of {card.seen_seconds_ago:.0f} s ago{said}: "
            f"its log is on {card.hostname}"
        )
    return ""


def _read_head(logs: Path | None, name: str, question: node_pb.LogQuestion) -> Page:
    if logs is None:
        return Page([], cut=False)
    since = timestamp(question.since.ToMicroseconds() / 1e6) if question.HasField("since") else ""
    file = logs / f"{name}.jsonl"
    return read_page(file, lines_max=question.lines_max, since=since, clip_id=question.clip_id)


def _merged(pages: Mapping[str, node_pb.LogPage], lines_max: int) -> list[str]:
    """The newest lines of all pages by time, as many as fit into an answer."""
    lines = sorted((line for page in pages.values() for line in page.lines), key=time_of)
    kept: list[str] = []
    left = BYTES_MAX
    for line in reversed(lines[-lines_max:]):
        left -= len(line.encode())
        if left < 0:
            break
        kept.append(line)
    return kept[::-1]


def _known(ledger: Ledger, card_id: str, clip_id: str) -> list[str]:
    """What the ledger tells of a clip on a card, or of the card, the latest first."""
    if clip_id:
        events = ledger.clip_events(clip_id, limit=CLIP_EVENTS_MAX)
        return [event_line(each) for each in events if each.card_id == card_id][:KNOWN_MAX]
    return [decision_line(row) for row in ledger.fleet_events(card_id, limit=KNOWN_MAX)]
