"""All profiles that a card offers, not only the one that it has loaded, and each chunk's own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_JSON = sa.JSON(none_as_null=True)
_cards = sa.table("cards", sa.column("profile", sa.Text()), sa.column("profiles", _JSON))


def upgrade() -> None:
    """A card that named a profile is known to offer that one, until it speaks again."""
    op.add_column("cards", sa.Column("profiles", _JSON, nullable=True))
    named = sa.select(_cards.c.profile).distinct().where(_cards.c.profile != "")
    for profile in op.get_bind().scalars(named).all():
        of_it = sa.update(_cards).where(_cards.c.profile == profile)
        op.execute(of_it.values(profiles=[profile]))
    op.add_column("chunks", sa.Column("profile", sa.Text(), server_default="", nullable=False))


def downgrade() -> None:
    """Forget both; what a card has loaded stays."""
    op.drop_column("chunks", "profile")
    op.drop_column("cards", "profiles")
