"""All of Helios's modes: what a clip starts from and follows, and how a chunk was measured.

Columns are added in place, which costs nothing on a ledger of any size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_CHUNKS: Sequence[tuple[str, sa.types.TypeEngine[Any]]] = (
    ("embeddings_key", sa.Text()),
    ("embeddings_sha256", sa.Text()),
    ("embeddings_size", sa.BigInteger()),
    ("energy_joules", sa.Double()),
    ("steered", sa.JSON(none_as_null=True)),
)


def upgrade() -> None:
    """Add what clips are asked for beside their prompts, and what chunks report beside times."""
    op.add_column("texts", sa.Column("options", sa.JSON(none_as_null=True), nullable=True))
    for name, type_ in _CHUNKS:
        op.add_column("chunks", sa.Column(name, type_, nullable=True))
    op.add_column("chunks", sa.Column("lanes", sa.Integer(), server_default="1", nullable=False))


def downgrade() -> None:
    """Forget it again. Raises RuntimeError while clips would be rendered as what they are not."""
    asking = op.get_bind().scalar(
        sa.text(
            "SELECT count(*) FROM clips JOIN texts ON texts.clip_id = clips.clip_id "
            "WHERE clips.finished_at IS NULL AND texts.options IS NOT NULL"
        )
    )
    if asking:
        raise RuntimeError(
            f"{asking} open clips ask for what the version before cannot render: cancel them first"
        )
    op.drop_column("chunks", "lanes")
    for name, _ in reversed(_CHUNKS):
        op.drop_column("chunks", name)
    op.drop_column("texts", "options")
