"""Whose ledger it is, and which clips' chunks have been let go."""

from __future__ import annotations

import uuid

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_UNRELEASED = sa.text("finished_at IS NOT NULL AND released_at IS NULL")


def upgrade() -> None:
    """Give the farm an id, once; no chunk has been let go yet."""
    op.add_column("farm", sa.Column("farm_id", sa.Text(), server_default="", nullable=False))
    op.execute(sa.text("UPDATE farm SET farm_id = :id").bindparams(id=uuid.uuid4().hex))
    op.add_column("clips", sa.Column("released_at", sa.Double(), nullable=True))
    op.create_index(
        "ix_clips_unreleased",
        "clips",
        ["finished_at"],
        sqlite_where=_UNRELEASED,
        postgresql_where=_UNRELEASED,
    )


def downgrade() -> None:
    """Forget both; chunks that were let go stay without their objects."""
    op.drop_index("ix_clips_unreleased", "clips")
    op.drop_column("clips", "released_at")
    op.drop_column("farm", "farm_id")
