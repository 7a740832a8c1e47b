"""Rollouts and their cards as rows, and back."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from sqlalchemy import Connection, select

from farm.domain.ledger import Commit
from farm.domain.rollout import Change, Kind, Rollout, RolloutState, Step
from farm.store import tables as t
from farm.store.bulk import Values, putting

_put_rollouts: Final = putting(t.rollouts)
_put_cards: Final = putting(t.rollout_cards)


def write_rollouts(connection: Connection, commit: Commit) -> None:
    """Add or replace them; of several rows for one the last counts."""
    _put_rollouts.run(connection, [_rollout_values(each) for each in commit.rollouts])
    _put_cards.run(connection, [_card_values(each) for each in commit.rollout_cards])


def read_rollouts(connection: Connection) -> list[Rollout]:
    """All, by number."""
    rows = connection.execute(select(t.rollouts).order_by(t.rollouts.c.number))
    return [_rollout(row) for row in rows]


def read_changes(connection: Connection, number: int | None = None) -> list[Change]:
    """The cards of one rollout, or of all, by the rollout's number and the card's id."""
    query = select(t.rollout_cards)
    if number is not None:
        query = query.where(t.rollout_cards.c.number == number)
    found = [_change(row) for row in connection.execute(query)]
    return sorted(found, key=lambda each: (each.number, each.card_id))


def _rollout_values(rollout: Rollout) -> Values:
    return {
        **dataclasses.asdict(rollout),
        "kind": rollout.kind.value,
        "state": rollout.state.value,
        "unattended": int(rollout.unattended),
    }


def _rollout(row: Any) -> Rollout:
    return Rollout(
        **{
            **row._mapping,
            "kind": Kind(row.kind),
            "state": RolloutState(row.state),
            "unattended": bool(row.unattended),
        }
    )


def _card_values(change: Change) -> Values:
    return {
        **dataclasses.asdict(change),
        "step": change.step.value,
        "canary": int(change.canary),
        "equal": int(change.equal),
    }


def _change(row: Any) -> Change:
    return Change(
        **{
            **row._mapping,
            "step": Step(row.step),
            "canary": bool(row.canary),
            "equal": bool(row.equal),
        }
    )
