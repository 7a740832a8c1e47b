"""The ledger's tables. Times are Unix seconds; sizes are bytes; a state is its enum's value.

What changes as a clip is rendered (`clips`) is apart from what never does and may be long
(`texts`), so that a restart loads 100,000 clips without reading a prompt. What has become of
each batch is kept beside its clips (`tallies`), in the same transactions, so that nobody counts
100,000 rows to draw a progress bar.
"""

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
    UniqueConstraint,
)

from farm.domain.batch import BatchState
from farm.domain.clip import ENDED, ClipState
from farm.store.event_tables import events, looks, notices, requests, reviews, steers
from farm.store.fleet_tables import (
    cards,
    circuits,
    fleet_events,
    limits,
    nodes,
    projects,
    rollout_cards,
    rollouts,
    saved_looks,
    usage,
)
from farm.store.metadata import JSON_TYPE, SEQUENCE, metadata, one_of

__all__ = [
    "batch_columns", "batches", "cards", "chunks", "circuits", "clip_values", "clips",
    "dependencies", "events", "farm", "fleet_events", "limits", "looks", "metadata", "nodes",
    "notices", "projects", "requests", "reviews", "rollout_cards", "rollouts", "saved_looks",
    "steers", "takes", "tallies", "texts", "totals", "usage",
]  # fmt: skip

_CLIP_STATES: Final = one_of("state", [state.value for state in ClipState])
_ENDED: Final = one_of("state", [state.value for state in ClipState if state in ENDED])


farm: Final = Table(
    "farm",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("claimed_at", Double),
    Column("farm_id", Text, nullable=False, server_default=""),
    CheckConstraint("id = 1", name="one_row"),
)
"""The one row that fences writers: every transaction of theirs reads it first. `farm_id` is given
when the ledger is made, so that a head knows its own ledger from another one."""

totals: Final = Table(
    "totals",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("frames_rendered", BigInteger, nullable=False),
    Column("frames_delivered", BigInteger, nullable=False),
    Column("clips_delivered", BigInteger, nullable=False),
    Column("attempts_lost", BigInteger, nullable=False),
    Column("attempts_failed", BigInteger, nullable=False),
    Column("chunks_recorded", BigInteger, nullable=False),
    Column("bytes_delivered", BigInteger, nullable=False),
    Column("stale_reports", BigInteger, nullable=False),
    CheckConstraint("id = 1", name="one_row"),
)
"""Counters of the farm's whole life; one row."""

batches: Final = Table(
    "batches",
    metadata,
    Column("number", SEQUENCE, primary_key=True),
    Column("batch_id", Text, nullable=False, unique=True),
    Column("project", Text, nullable=False),
    Column("name", Text, nullable=False, index=True),
    Column("priority", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("published_at", Double),
    Column("deadline", Double),
    Column("needs", JSON_TYPE),
    Column("limits", JSON_TYPE),
    Column("after", JSON_TYPE),
    Column("first_look", Integer, nullable=False, server_default="0"),
    Column("every", Integer, nullable=False, server_default="0"),
    Column("failures_max", Integer),
    Column("failures_forgiven", Integer, nullable=False, server_default="0"),
    Column("output", Text, nullable=False, server_default=""),
    Column("webhook", Text, nullable=False, server_default=""),
    Column("budget", JSON_TYPE),
    Column("look", Text, nullable=False, server_default=""),
    Column("deliver_to", Text, nullable=False, server_default=""),
    Column("joins", Text, nullable=False, server_default=""),
    Column("promise", JSON_TYPE),
    Column("spent_seconds", Double, nullable=False, server_default="0"),
    Column("spent_joules", Double, nullable=False, server_default="0"),
    Column("spent_money", Double, nullable=False, server_default="0"),
    Column("ended_at", Double),
    CheckConstraint(one_of("state", [state.value for state in BatchState]), name="state"),
    Index("ix_batches_project_number", "project", "number"),
)
"""Submissions. `number` is their order, whatever the clock did; `published_at` is NULL while a
submission is still coming in; `joins` names the batch that its clips become a part of then."""

clips: Final = Table(
    "clips",
    metadata,
    Column("clip_id", Text, primary_key=True),
    Column("batch_id", Text, ForeignKey("batches.batch_id"), nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("file_row", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("quality", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("frames", Integer, nullable=False),
    Column("chunks", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("width", Integer, nullable=False),
    Column("fps", Integer, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("steps", JSON_TYPE),
    Column("guidance_scale", Double),
    Column("state", Text, nullable=False),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("chunks_done", Integer, nullable=False, server_default="0"),
    Column("losses", Integer, nullable=False, server_default="0"),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("blocked", JSON_TYPE),
    Column("input_failed", JSON_TYPE),
    Column("holder_card", Text),
    Column("holder_incarnation", Text),
    Column("reason", Text, nullable=False, server_default=""),
    Column("model_digest", Text),
    Column("stack_id", Text),
    Column("created_at", Double, nullable=False),
    Column("finished_at", Double),
    Column("released_at", Double),
    Column("loras", Text, nullable=False, server_default=""),
    Column("storage_failures", Integer, nullable=False, server_default="0"),
    Column("file_name", Text, nullable=False, server_default=""),
    Column("digest", Text, nullable=False, server_default=""),
    Column("verdict", Text, nullable=False, server_default=""),
    Column("origin_kind", Text, nullable=False, server_default=""),
    Column("origin_clip", Text),
    Column("origin_chunks", Integer, nullable=False, server_default="0"),
    Column("begun_model", Text, nullable=False, server_default=""),
    Column("begun_stack", Text, nullable=False, server_default=""),
    UniqueConstraint("batch_id", "ordinal"),
    UniqueConstraint("batch_id", "name", "version"),
    CheckConstraint(_CLIP_STATES, name="state"),
    CheckConstraint("ordinal >= 1 AND version >= 1 AND seed >= 0", name="numbers"),
    CheckConstraint("frames >= 1 AND chunks >= 1", name="frames"),
    CheckConstraint("chunks_done BETWEEN 0 AND chunks", name="chunks_done"),
    CheckConstraint("attempt >= 0 AND losses >= 0 AND failures >= 0", name="counts"),
    CheckConstraint("(holder_card IS NULL) = (holder_incarnation IS NULL)", name="holder"),
    CheckConstraint("state <> 'leased' OR holder_card IS NOT NULL", name="leased"),
    CheckConstraint(f"({_ENDED}) = (finished_at IS NOT NULL)", name="ended"),
    CheckConstraint("state <> 'done' OR chunks_done = chunks", name="done"),
    Index("ix_clips_batch_id_state_ordinal", "batch_id", "state", "ordinal"),
)
Index(
    "ix_clips_open",
    clips.c.batch_id,
    clips.c.ordinal,
    sqlite_where=clips.c.finished_at.is_(None),
    postgresql_where=clips.c.finished_at.is_(None),
)
"""What a restart loads: found without passing by the clips that have ended."""

_reusable: Final = (clips.c.state == "done") & (clips.c.digest != "")
Index("ix_clips_digest", clips.c.digest, sqlite_where=_reusable, postgresql_where=_reusable)
"""Takes by what was asked for: whoever asks for the same again may have them."""

_derived: Final = clips.c.origin_clip.is_not(None)
Index("ix_clips_origin_clip", clips.c.origin_clip, sqlite_where=_derived, postgresql_where=_derived)
"""Who took something over from a clip: objects that both name are kept."""

_reviewed: Final = clips.c.verdict != ""
Index(
    "ix_clips_reviewed",
    clips.c.batch_id,
    clips.c.verdict,
    clips.c.ordinal,
    sqlite_where=_reviewed,
    postgresql_where=_reviewed,
)
"""Takes by the verdict of their latest review, which `verdict` repeats."""

_retaken: Final = clips.c.version > 1
Index(
    "ix_clips_retaken",
    clips.c.batch_id,
    clips.c.name,
    clips.c.version,
    sqlite_where=_retaken,
    postgresql_where=_retaken,
)
"""Later versions: there are few, and what is before them is found by them."""

_unreleased: Final = clips.c.finished_at.is_not(None) & clips.c.released_at.is_(None)
Index(
    "ix_clips_unreleased",
    clips.c.finished_at,
    sqlite_where=_unreleased,
    postgresql_where=_unreleased,
)
"""What retention looks at: ended clips whose chunks it has not let go yet."""

dependencies: Final = Table(
    "dependencies",
    metadata,
    Column("batch_id", Text, ForeignKey("batches.batch_id"), primary_key=True),
    Column("ordinal", Integer, primary_key=True),
    Column("on_ordinal", Integer, primary_key=True),
    Index("ix_dependencies_on", "batch_id", "on_ordinal"),
)
"""Clips that wait for takes of other clips of their batch."""

texts: Final = Table(
    "texts",
    metadata,
    Column("clip_id", Text, ForeignKey("clips.clip_id"), primary_key=True),
    Column("prompt", Text, nullable=False),
    Column("negative_prompt", Text, nullable=False),
    Column("columns", JSON_TYPE),
    Column("options", JSON_TYPE),
)
"""A clip's words, its batch's own columns as they were given, and what else was asked for that no
plan looks at (`farm.store.options`); NULL where that is nothing."""

batch_columns: Final = Table(
    "batch_columns",
    metadata,
    Column("number", SEQUENCE, primary_key=True),
    Column("batch_id", Text, ForeignKey("batches.batch_id"), nullable=False),
    Column("name", Text, nullable=False),
    UniqueConstraint("batch_id", "name"),
)
"""The names of a batch's own columns, as its files had them."""

clip_values: Final = Table(
    "clip_values",
    metadata,
    Column("column_number", BigInteger, ForeignKey("batch_columns.number"), primary_key=True),
    Column("value", Text, primary_key=True),
    Column("clip_id", Text, primary_key=True),
    sqlite_with_rowid=False,
)
"""Clips by what their batch's own columns say: folded case, and no more than its beginning."""

tallies: Final = Table(
    "tallies",
    metadata,
    Column("batch_id", Text, ForeignKey("batches.batch_id"), primary_key=True),
    Column("state", Text, primary_key=True),
    Column("clips", BigInteger, nullable=False),
    Column("chunks", BigInteger, nullable=False),
    Column("chunks_done", BigInteger, nullable=False),
    Column("frames", BigInteger, nullable=False),
    CheckConstraint(_CLIP_STATES, name="state"),
    CheckConstraint(
        "clips >= 0 AND chunks >= 0 AND chunks_done >= 0 AND frames >= 0", name="counts"
    ),
)
"""Sums over a published batch's clips by state; one row for every state."""

chunks: Final = Table(
    "chunks",
    metadata,
    Column("clip_id", Text, ForeignKey("clips.clip_id"), primary_key=True),
    Column("chunk", Integer, primary_key=True),
    Column("attempt", Integer, nullable=False),
    Column("card_id", Text, nullable=False),
    Column("frames", Integer, nullable=False),
    Column("render_seconds", Double, nullable=False),
    Column("encode_seconds", Double, nullable=False),
    Column("recorded_at", Double, nullable=False),
    *(
        Column(f"{kind}_{part}", type_)
        for kind in ("segment", "init", "negative", "embeddings")
        for part, type_ in (("key", Text()), ("sha256", Text()), ("size", BigInteger()))
    ),
    Column("energy_joules", Double),
    Column("steered", JSON_TYPE),
    Column("lanes", Integer, nullable=False, server_default="1"),
    Column("profile", Text, nullable=False, server_default=""),
)
"""Recorded chunks: each of a clip's chunks once, whoever rendered it."""

takes: Final = Table(
    "takes",
    metadata,
    Column("clip_id", Text, ForeignKey("clips.clip_id"), primary_key=True),
    Column("attempt", Integer, nullable=False),
    Column("card_id", Text, nullable=False),
    Column("frames", Integer, nullable=False),
    Column("model_digest", Text, nullable=False),
    Column("stack_id", Text, nullable=False),
    Column("recorded_at", Double, nullable=False),
    *(
        Column(f"{kind}_{part}", type_, nullable=False)
        for kind in ("video", "sidecar")
        for part, type_ in (("key", Text()), ("sha256", Text()), ("size", BigInteger()))
    ),
)
"""Delivered clips: exactly one row for each clip that is done."""
