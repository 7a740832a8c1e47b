"""Failures of the object store apart from others, and those that a resumed batch is forgiven."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_ADDED = (("clips", "storage_failures"), ("batches", "failures_forgiven"))


def upgrade() -> None:
    """Nothing was counted so far: both begin at 0, and only help whoever is counted."""
    for table, name in _ADDED:
        op.add_column(table, sa.Column(name, sa.Integer(), server_default="0", nullable=False))


def downgrade() -> None:
    """Forget both."""
    for table, name in _ADDED:
        op.drop_column(table, name)
