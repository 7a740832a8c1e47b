"""What the plan decides by, as rows: projects, limits, circuits, nodes, looks, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, delete, insert, select

from farm.domain.batch import Batch, Budget, Order
from farm.domain.fleet import Circuit, FleetEvent, Needs, Node, Standing
from farm.domain.ledger import Commit, FleetEventRow, Steer
from farm.domain.project import Limit, Look, Project
from farm.domain.saved_look import SavedLook
from farm.domain.spec import LoraUse, PromptMark
from farm.store import tables as t
from farm.store.bulk import Values, putting

_put_projects: Final = putting(t.projects)
_put_limits: Final = putting(t.limits)
_put_circuits: Final = putting(t.circuits)
_put_nodes: Final = putting(t.nodes)
_put_looks: Final = putting(t.looks)
_put_steers: Final = putting(t.steers)
_FORGETTABLE: Final = {"limit": t.limits, "circuit": t.circuits, "look": t.saved_looks}
_PINS: Final = (
    "model", "quality", "steps", "guidance_scale", "prompt_prefix", "negative_prompt", "stack_id",
)  # fmt: skip


def batch_decisions(batch: Batch) -> Values:
    """The columns of a batch that may be decided anew while it is open."""
    return {
        "priority": batch.priority,
        "state": batch.state.value,
        "reason": batch.reason,
        "deadline": batch.deadline,
        "needs": _given(batch.needs),
        "limits": list(batch.limits) or None,
        "after": list(batch.after) or None,
        "first_look": int(batch.first_look),
        "every": batch.order.every,
        "failures_max": batch.failures_max,
        "failures_forgiven": batch.failures_forgiven,
        "webhook": batch.webhook,
        "budget": _given(batch.budget),
        "deliver_to": batch.deliver_to,
        "ended_at": batch.ended_at,
    }


def batch_terms(batch: Batch) -> Values:
    """The columns of a batch that stay as they were submitted."""
    return {"output": batch.output, "look": batch.look, "joins": batch.joins}


def read_decisions(row: Any) -> dict[str, Any]:
    """Both as keywords of `Batch`, without its state."""
    return {
        "priority": row.priority,
        "deadline": row.deadline,
        "needs": _read_needs(row.needs),
        "limits": tuple(row.limits or ()),
        "after": tuple(row.after or ()),
        "first_look": bool(row.first_look),
        "order": Order(row.every),
        "failures_max": row.failures_max,
        "failures_forgiven": row.failures_forgiven,
        "output": row.output,
        "webhook": row.webhook,
        "budget": Budget(**(row.budget or {})),
        "look": row.look,
        "deliver_to": row.deliver_to,
        "joins": row.joins,
        "ended_at": row.ended_at,
    }


def write_plan(connection: Connection, epoch: int, at: float, commit: Commit) -> None:
    """Write what was decided of projects, limits, circuits, nodes, looks and prompts, with its
    events."""
    _put_projects.run(connection, [dataclasses.asdict(each) for each in commit.projects])
    _put_limits.run(connection, [dataclasses.asdict(each) for each in commit.limits])
    _put_circuits.run(connection, [dataclasses.asdict(each) for each in commit.circuits])
    _put_nodes.run(
        connection,
        [{**dataclasses.asdict(n), "standing": n.standing.value} for n in commit.nodes],
    )
    _put_looks.run(connection, [{**dataclasses.asdict(look), "at": at} for look in commit.looks])
    if commit.saved_looks:
        looks = [_saved_look_values(look, at) for look in commit.saved_looks]
        connection.execute(insert(t.saved_looks), looks)
    _put_steers.run(connection, [_steer_values(steer) for steer in commit.steers])
    for kind, name in commit.forgotten:
        table = _FORGETTABLE[kind]
        connection.execute(delete(table).where(table.c.name == name))
    if commit.fleet_events:
        events = [dataclasses.asdict(event) for event in commit.fleet_events]
        connection.execute(
            insert(t.fleet_events), [{**event, "at": at, "epoch": epoch} for event in events]
        )


def read_projects(connection: Connection) -> list[Project]:
    """All, by name."""
    rows = connection.execute(select(t.projects).order_by(t.projects.c.name))
    return [Project(**row._mapping) for row in rows]


def read_limits(connection: Connection) -> list[Limit]:
    """All, by name."""
    rows = connection.execute(select(t.limits).order_by(t.limits.c.name))
    return [Limit(**row._mapping) for row in rows]


def read_circuits(connection: Connection) -> list[Circuit]:
    """All, by name."""
    rows = connection.execute(select(t.circuits).order_by(t.circuits.c.name))
    return [Circuit(**row._mapping) for row in rows]


def read_nodes(connection: Connection) -> list[Node]:
    """Those of which something was decided, by hostname."""
    rows = connection.execute(select(t.nodes).order_by(t.nodes.c.hostname))
    return [Node(**{**row._mapping, "standing": Standing(row.standing)}) for row in rows]


def read_saved_looks(connection: Connection) -> list[SavedLook]:
    """All, by name."""
    rows = connection.execute(select(t.saved_looks).order_by(t.saved_looks.c.name))
    return [_saved_look(row) for row in rows]


def read_looks(connection: Connection, batch_id: str) -> dict[str, Look]:
    """What was said of a batch's clips, by clip id."""
    rows = connection.execute(
        select(t.looks)
        .join(t.clips, t.clips.c.clip_id == t.looks.c.clip_id)
        .where(t.clips.c.batch_id == batch_id)
    )
    return {row.clip_id: _look(row) for row in rows}


def read_clip_looks(connection: Connection, clip_ids: Sequence[str]) -> dict[str, Look]:
    """The same for some clips, not more than a statement can name."""
    rows = connection.execute(select(t.looks).where(t.looks.c.clip_id.in_(clip_ids)))
    return {row.clip_id: _look(row) for row in rows}


def read_steers(connection: Connection, *where: ColumnElement[bool]) -> list[Steer]:
    """Changes of prompt that are still to come, by number."""
    query = select(t.steers).where(t.steers.c.settled.is_(None), *where)
    return [
        Steer(
            number=row.number,
            clip_id=row.clip_id,
            mark=PromptMark(row.chunk, row.prompt, row.blend_chunks),
            at=row.at,
        )
        for row in connection.execute(query.order_by(t.steers.c.number))
    ]


def read_fleet_events(connection: Connection, target: str, limit: int) -> list[FleetEventRow]:
    """The latest events of a node or card (of all: ""), the newest first."""
    query = select(t.fleet_events).order_by(t.fleet_events.c.sequence.desc()).limit(limit)
    if target:
        query = query.where(t.fleet_events.c.target == target)
    return [
        FleetEventRow(
            sequence=row.sequence,
            at=row.at,
            epoch=row.epoch,
            event=FleetEvent(row.target, row.kind, row.detail),
        )
        for row in connection.execute(query)
    ]


def _saved_look_values(look: SavedLook, at: float) -> Values:
    pins: Values = {name: value for name in _PINS if (value := getattr(look, name)) not in ("", ())}
    if look.loras is not None:
        pins["loras"] = [[lora.name, lora.scale] for lora in look.loras]
    return {"name": look.name, "pins": pins, "note": look.note, "saved_at": at}


def _saved_look(row: Any) -> SavedLook:
    pins = dict(row.pins)
    pins["steps"] = tuple(pins.get("steps", ()))
    if "loras" in pins:
        pins["loras"] = tuple(LoraUse(*lora) for lora in pins["loras"])
    return SavedLook(name=row.name, note=row.note, saved_at=row.saved_at, **pins)


def _look(row: Any) -> Look:
    return Look(clip_id=row.clip_id, score=row.score, note=row.note)


def _steer_values(steer: Steer) -> Values:
    return {
        "number": steer.number,
        "clip_id": steer.clip_id,
        "chunk": steer.mark.chunk,
        "prompt": steer.mark.prompt,
        "blend_chunks": steer.mark.blend_chunks,
        "at": steer.at,
        "settled": steer.settled,
    }


def _given(record: Needs | Budget) -> Values | None:
    values = {name: value for name, value in dataclasses.asdict(record).items() if value}
    return values or None


def _read_needs(values: Mapping[str, Any] | None) -> Needs:
    if not values:
        return Needs()
    kept: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }
    return Needs(**kept)
