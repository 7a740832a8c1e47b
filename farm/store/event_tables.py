"""The ledger's tables of what happened and of what people said: events, reviews, requests."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
)

from farm.store.metadata import JSON_TYPE, SEQUENCE, metadata, one_of

reviews: Final = Table(
    "reviews",
    metadata,
    Column("number", SEQUENCE, primary_key=True),
    Column("clip_id", Text, ForeignKey("takes.clip_id"), nullable=False, index=True),
    Column("verdict", Text, nullable=False),
    Column("note", Text, nullable=False, server_default=""),
    Column("reviewer", Text, nullable=False),
    Column("at", Double, nullable=False),
    CheckConstraint(one_of("verdict", ["approved", "rejected"]), name="verdict"),
)
"""What people said about takes; the latest counts."""

steers: Final = Table(
    "steers",
    metadata,
    Column("number", SEQUENCE, primary_key=True, autoincrement=False),
    Column("clip_id", Text, ForeignKey("clips.clip_id"), nullable=False, index=True),
    Column("chunk", Integer, nullable=False),
    Column("prompt", Text, nullable=False),
    Column("blend_chunks", Integer, nullable=False),
    Column("at", Double, nullable=False),
    Column("settled", Integer),
)
"""Changes of prompt that people asked for while a clip rendered, in their order. Chunk 0 stands for
the next one that is begun. `settled` is NULL for one that is still to come."""

_unsettled: Final = steers.c.settled.is_(None)
Index("ix_steers_open", steers.c.number, sqlite_where=_unsettled, postgresql_where=_unsettled)
"""What a restart loads."""

looks: Final = Table(
    "looks",
    metadata,
    Column("clip_id", Text, ForeignKey("clips.clip_id"), primary_key=True),
    Column("score", Double),
    Column("note", Text, nullable=False, server_default=""),
    Column("at", Double, nullable=False),
)
"""What people said of clips at their first look; the latest counts."""

events: Final = Table(
    "events",
    metadata,
    Column("sequence", SEQUENCE, primary_key=True),
    Column("at", Double, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("batch_id", Text, ForeignKey("batches.batch_id"), nullable=False),
    Column("clip_id", Text, ForeignKey("clips.clip_id"), index=True),
    Column("kind", Text, nullable=False),
    Column("from_state", Text, nullable=False),
    Column("to_state", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("card_id", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Index("ix_events_batch_id_sequence", "batch_id", "sequence"),
)
"""All that ever happened, in the order of commits; rows are only ever added. `clip_id` is NULL
for an event of the whole batch."""

notices: Final = Table(
    "notices",
    metadata,
    Column("number", SEQUENCE, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("batch_id", Text, ForeignKey("batches.batch_id"), nullable=False),
    Column("detail", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("settled", JSON_TYPE),
    Column("next_at", Double, nullable=False, server_default="0"),
    Column("ended_at", Double),
    Column("error", Text, nullable=False, server_default=""),
)
_untold: Final = notices.c.ended_at.is_(None)
Index("ix_notices_untold", notices.c.next_at, sqlite_where=_untold, postgresql_where=_untold)
"""What people are to be told of batches; `settled` names the places that have heard it."""

requests: Final = Table(
    "requests",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("batch_id", Text, nullable=False),
    Column("result", BigInteger, nullable=False),
    Column("answered_at", Double, nullable=False),
)
"""Mutations that were answered."""
