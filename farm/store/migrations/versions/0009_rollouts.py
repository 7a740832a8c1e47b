"""Rollouts: releases and models that are brought to the cards; what cards run, and what clips began
with. Of clips that had chunks before, that is not known: they go on with anything, as they did.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_JSON = sa.JSON(none_as_null=True)
_STATES = ("canary", "waiting", "rolling", "done", "back")
_STEPS = (
    "next", "draining", "preparing", "switching", "examining", "changed", "leaving", "returning",
    "checking", "returned", "left",
)  # fmt: skip


def upgrade() -> None:
    """Add columns and tables."""
    for name in ("begun_model", "begun_stack"):
        op.add_column("clips", _text(name, default=True))
    op.add_column("cards", _text("release", default=True))
    op.add_column("cards", sa.Column("releases", _JSON, nullable=True))
    op.create_table(
        "rollouts",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        *(_text(name) for name in ("kind", "target", "source", "name")),
        *(_integer(name) for name in ("canary", "at_once", "unattended")),
        *(_text(name) for name in ("state", "reason", "started_by", "decided_by")),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("changed_at", sa.Double(), nullable=False),
        _text("pieces_sha256"),
        sa.CheckConstraint(_one_of("kind", ("release", "model")), name=op.f("ck_rollouts_kind")),
        sa.CheckConstraint(_one_of("state", _STATES), name=op.f("ck_rollouts_state")),
        sa.CheckConstraint("canary >= 1 AND at_once >= 1", name=op.f("ck_rollouts_numbers")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_rollouts")),
    )
    op.create_table(
        "rollout_cards",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        *(_text(name) for name in ("card_id", "step", "before")),
        _integer("canary"),
        sa.Column("since", sa.Double(), nullable=False),
        _text("detail"),
        sa.Column("examination", sa.BigInteger(), nullable=False),
        _integer("deaths"),
        *(_text(name) for name in ("stack_before", "stack_after")),
        sa.Column("psnr_db", sa.Double(), nullable=True),
        _integer("equal"),
        sa.CheckConstraint(_one_of("step", _STEPS), name=op.f("ck_rollout_cards_step")),
        sa.ForeignKeyConstraint(
            ["number"], ["rollouts.number"], name=op.f("fk_rollout_cards_number_rollouts")
        ),
        sa.PrimaryKeyConstraint("number", "card_id", name=op.f("pk_rollout_cards")),
    )


def downgrade() -> None:
    """Forget all of it: cards run on with what they run."""
    op.drop_table("rollout_cards")
    op.drop_table("rollouts")
    for table, name in (
        ("cards", "releases"),
        ("cards", "release"),
        ("clips", "begun_stack"),
        ("clips", "begun_model"),
    ):
        op.drop_column(table, name)


def _text(name: str, *, default: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), server_default="" if default else None, nullable=False)


def _integer(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False)


def _one_of(column: str, values: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(map(repr, values))})"
