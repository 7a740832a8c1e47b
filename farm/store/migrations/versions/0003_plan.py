"""What the plan decides by: projects, limits, needs, dependencies, and decisions about the fleet.

Columns are added in place, which costs nothing on a ledger of any size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_Column = tuple[str, "sa.types.TypeEngine[Any]", str | None]
"""Name, type, and the default of rows that are there; None may be NULL."""

_JSON = sa.JSON(none_as_null=True)
_ADDED: dict[str, Sequence[_Column]] = {
    "batches": (
        ("deadline", sa.Double(), None),
        ("needs", _JSON, None),
        ("limits", _JSON, None),
        ("after", _JSON, None),
        ("first_look", sa.Integer(), "0"),
        ("every", sa.Integer(), "0"),
        ("failures_max", sa.Integer(), None),
    ),
    "clips": (("loras", sa.Text(), ""),),
    "cards": (
        ("card_type", sa.Text(), ""),
        ("tags", _JSON, None),
        ("profile", sa.Text(), ""),
        ("models", _JSON, None),
        ("lanes", sa.Integer(), "1"),
        ("power_cap_watts", sa.Double(), "0"),
        ("pace", sa.Double(), "0"),
        ("standing", sa.Text(), "open"),
        ("standing_reason", sa.Text(), ""),
        ("examination", sa.BigInteger(), "0"),
    ),
}
_TABLES = (
    "dependencies", "nodes", "circuits", "projects", "limits", "looks", "fleet_events",
)  # fmt: skip
_STANDINGS = "standing IN ('open', 'locked', 'paused', 'draining', 'quarantined')"


def upgrade() -> None:
    """Add columns and tables; every project that batches name becomes a row."""
    for table, columns in _ADDED.items():
        for name, type_, default in columns:
            column = sa.Column(name, type_, server_default=default, nullable=default is None)
            op.add_column(table, column)
    _create_for_clips()
    _create_for_fleet()
    op.execute(
        "INSERT INTO projects (name, weight, usage, usage_at) SELECT DISTINCT project, 1, 0, 0 "
        "FROM batches UNION SELECT 'default', 1, 0, 0"
    )


def downgrade() -> None:
    """Forget it again. Raises RuntimeError while clips would go out that should still wait."""
    held = op.get_bind().scalar(
        sa.text("SELECT count(*) FROM clips WHERE state IN ('waiting', 'held')")
    )
    if held:
        raise RuntimeError(
            f"{held} clips wait for others or for a first look, which the version before does not "
            "know: approve or cancel them first"
        )
    for table in reversed(_TABLES):
        op.drop_table(table)
    for table, columns in _ADDED.items():
        for name, _, _ in reversed(columns):
            op.drop_column(table, name)


def _create_for_clips() -> None:
    op.create_table(
        "dependencies",
        sa.Column("batch_id", sa.Text(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("on_ordinal", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["batch_id"], ["batches.batch_id"], name=op.f("fk_dependencies_batch_id_batches")
        ),
        sa.PrimaryKeyConstraint("batch_id", "ordinal", "on_ordinal", name=op.f("pk_dependencies")),
    )
    op.create_index("ix_dependencies_on", "dependencies", ["batch_id", "on_ordinal"])
    op.create_table(
        "looks",
        sa.Column("clip_id", sa.Text(), nullable=False),
        sa.Column("score", sa.Double(), nullable=True),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["clip_id"], ["clips.clip_id"], name=op.f("fk_looks_clip_id_clips")
        ),
        sa.PrimaryKeyConstraint("clip_id", name=op.f("pk_looks")),
    )


def _create_for_fleet() -> None:
    op.create_table(
        "nodes",
        sa.Column("hostname", sa.Text(), nullable=False),
        sa.Column("standing", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("schedule", sa.Text(), nullable=False),
        sa.Column("circuit", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.Double(), nullable=False),
        sa.CheckConstraint(_STANDINGS, name=op.f("ck_nodes_standing")),
        sa.PrimaryKeyConstraint("hostname", name=op.f("pk_nodes")),
    )
    op.create_table(
        "circuits",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("watts", sa.Double(), nullable=False),
        sa.CheckConstraint("watts > 0", name=op.f("ck_circuits_watts")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_circuits")),
    )
    op.create_table(
        "projects",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("weight", sa.Double(), nullable=False),
        sa.Column("cap", sa.Integer(), nullable=True),
        sa.Column("burst", sa.Integer(), nullable=True),
        sa.Column("usage", sa.Double(), nullable=False),
        sa.Column("usage_at", sa.Double(), nullable=False),
        sa.CheckConstraint("weight > 0", name=op.f("ck_projects_weight")),
        sa.CheckConstraint("cap IS NULL OR cap >= 1", name=op.f("ck_projects_cap")),
        sa.CheckConstraint("burst IS NULL OR burst >= 1", name=op.f("ck_projects_burst")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_projects")),
    )
    op.create_table(
        "limits",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("most", sa.Integer(), nullable=False),
        sa.CheckConstraint("most >= 1", name=op.f("ck_limits_most")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_limits")),
    )
    op.create_table(
        "fleet_events",
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_fleet_events")),
    )
    op.create_index(op.f("ix_fleet_events_target"), "fleet_events", ["target"])
