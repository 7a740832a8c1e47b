"""Why something is as it is: names become ids, the coordinator answers, the ledger adds history."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from farm.domain.errors import NotFound
from farm.domain.ledger import EventRow, FleetEventRow
from farm.gateway.desk import Desk
from farm.gateway.grpc_errors import BadRequest
from farm.ports import Ledger
from heliostat.v1 import fleet_service_pb2 as fleet_pb

HISTORY: Final = 30
"""Events that an answer shows."""


async def answer(desk: Desk, subject: str) -> fleet_pb.WhyResponse:
    """The answer about a clip, batch, card or node. Raises `NotFound`, `AmbiguousName`."""
    if not subject:
        raise BadRequest("name a clip as BATCH/NAME, or a batch, a card or a node")
    target = await desk.threads.run(id_of_subject, desk.ledger, subject)
    response = fleet_pb.WhyResponse.FromString(await desk.link.why(target))
    response.history.extend(await desk.threads.run(_history, desk.ledger, response.kind, target))
    response.subject = subject
    return response


def id_of_subject(ledger: Ledger, subject: str) -> str:
    """The id that a name stands for; anything else as it is, for the coordinator to know."""
    try:
        return ledger.find_batch(subject).batch_id
    except NotFound:
        pass
    parts = subject.split("/")
    for at in range(1, len(parts)):
        batch, name = "/".join(parts[:at]), "/".join(parts[at:])
        try:
            batch_id = ledger.find_batch(batch).batch_id
        except NotFound:
            continue
        if found := ledger.clip_ids(batch_id, [name]):
            return found[name]
        raise NotFound(f"batch {batch_id} has no clip {name}: see `farm clips {batch_id}`")
    return subject


def _history(ledger: Ledger, kind: str, target: str) -> list[str]:
    """What happened to a clip, or was decided of a card or node, the latest first."""
    if kind == "clip":
        return [event_line(event) for event in ledger.clip_events(target, limit=HISTORY)]
    if kind in ("card", "node"):
        return [decision_line(row) for row in ledger.fleet_events(target, limit=HISTORY)]
    return []


def event_line(event: EventRow) -> str:
    """An event of a clip, for a person."""
    where = f" on {event.card_id}" if event.card_id else ""
    attempt = f" (attempt {event.attempt})" if event.attempt else ""
    return f"{_at(event.at)} {event.kind}{where}{attempt}" + _detail(event.detail)


def decision_line(row: FleetEventRow) -> str:
    """What was decided of the fleet, for a person."""
    return f"{_at(row.at)} {row.event.kind}" + _detail(row.event.detail)


def _detail(text: str) -> str:
    return f": {text}" if text else ""


def _at(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, tz=UTC):%Y-%m-%d %H:%M:%S}Z"
