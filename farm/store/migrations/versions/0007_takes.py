"""What production houses live in: names of outputs, budgets, versions and where they come from,
changes of prompt, notices, saved looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_Column = tuple[str, "sa.types.TypeEngine[Any]", str | None]
"""Name, type, and the default of rows that are there; None may be NULL."""

_JSON = sa.JSON(none_as_null=True)
_SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_ADDED: dict[str, Sequence[_Column]] = {
    "batches": (
        ("output", sa.Text(), ""),
        ("webhook", sa.Text(), ""),
        ("budget", _JSON, None),
        ("look", sa.Text(), ""),
        ("deliver_to", sa.Text(), ""),
        ("joins", sa.Text(), ""),
        ("promise", _JSON, None),
        ("spent_seconds", sa.Double(), "0"),
        ("spent_joules", sa.Double(), "0"),
        ("spent_money", sa.Double(), "0"),
        ("ended_at", sa.Double(), None),
    ),
    "clips": (
        ("file_name", sa.Text(), ""),
        ("digest", sa.Text(), ""),
        ("verdict", sa.Text(), ""),
        ("origin_kind", sa.Text(), ""),
        ("origin_clip", sa.Text(), None),
        ("origin_chunks", sa.Integer(), "0"),
    ),
    "projects": (("look", sa.Text(), ""),),
}


def upgrade() -> None:
    """Add columns and tables; takes that are there are found by no digest, and so not reused."""
    for table, columns in _ADDED.items():
        for name, type_, default in columns:
            column = sa.Column(name, type_, server_default=default, nullable=default is None)
            op.add_column(table, column)
    reusable = sa.text("state = 'done' AND digest != ''")
    op.create_index(
        "ix_clips_digest", "clips", ["digest"], sqlite_where=reusable, postgresql_where=reusable
    )
    derived = sa.text("origin_clip IS NOT NULL")
    op.create_index(
        "ix_clips_origin_clip", "clips", ["origin_clip"], sqlite_where=derived,
        postgresql_where=derived,
    )  # fmt: skip
    _create_review_indexes()
    _create_columns()
    op.create_table(
        "steers",
        sa.Column("number", _SEQUENCE, autoincrement=False, nullable=False),
        sa.Column("clip_id", sa.Text(), nullable=False),
        sa.Column("chunk", sa.Integer(), nullable=False),
        sa.Column("prompt", sa.Text(), nullable=False),
        sa.Column("blend_chunks", sa.Integer(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("settled", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["clip_id"], ["clips.clip_id"], name="fk_steers_clip_id_clips"),
        sa.PrimaryKeyConstraint("number", name="pk_steers"),
    )
    op.create_index("ix_steers_clip_id", "steers", ["clip_id"])
    unsettled = sa.text("settled IS NULL")
    op.create_index(
        "ix_steers_open", "steers", ["number"], sqlite_where=unsettled, postgresql_where=unsettled
    )
    op.create_table(
        "notices",
        sa.Column("number", _SEQUENCE, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("batch_id", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("settled", _JSON, nullable=True),
        sa.Column("next_at", sa.Double(), server_default="0", nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("error", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(
            ["batch_id"], ["batches.batch_id"], name="fk_notices_batch_id_batches"
        ),
        sa.PrimaryKeyConstraint("number", name="pk_notices"),
    )
    untold = sa.text("ended_at IS NULL")
    op.create_index(
        "ix_notices_untold", "notices", ["next_at"], sqlite_where=untold, postgresql_where=untold
    )
    op.create_table(
        "saved_looks",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("pins", _JSON, nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("saved_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_saved_looks"),
    )


def _create_columns() -> None:
    op.create_table(
        "batch_columns",
        sa.Column("number", _SEQUENCE, nullable=False),
        sa.Column("batch_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["batch_id"], ["batches.batch_id"], name="fk_batch_columns_batch_id_batches"
        ),
        sa.PrimaryKeyConstraint("number", name="pk_batch_columns"),
        sa.UniqueConstraint("batch_id", "name", name="uq_batch_columns_batch_id_name"),
    )
    op.create_table(
        "clip_values",
        sa.Column("column_number", sa.BigInteger(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("clip_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["column_number"],
            ["batch_columns.number"],
            name="fk_clip_values_column_number_batch_columns",
        ),
        sa.PrimaryKeyConstraint("column_number", "value", "clip_id", name="pk_clip_values"),
        sqlite_with_rowid=False,
    )


def _create_review_indexes() -> None:
    for name, columns, condition in (
        ("ix_clips_reviewed", ["batch_id", "verdict", "ordinal"], "verdict != ''"),
        ("ix_clips_retaken", ["batch_id", "name", "version"], "version > 1"),
    ):
        where = sa.text(condition)
        op.create_index(name, "clips", columns, sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    """Forget all of it."""
    op.drop_table("clip_values")
    op.drop_table("batch_columns")
    for name in ("ix_clips_retaken", "ix_clips_reviewed"):
        op.drop_index(name, "clips")
    op.drop_table("saved_looks")
    op.drop_table("notices")
    op.drop_table("steers")
    op.drop_index("ix_clips_origin_clip", "clips")
    op.drop_index("ix_clips_digest", "clips")
    for table, columns in _ADDED.items():
        for name, _type, _default in reversed(columns):
            op.drop_column(table, name)
