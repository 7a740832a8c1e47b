"""The ledger's tables. Times are Unix seconds; sizes are bytes; a state is its enum's value.

What changes as a clip is rendered (`clips`) is apart from what never does and may be long
(`texts`), so that a restart loads 100,000 clips without reading a prompt. What has become of
each batch is kept beside its clips (`tallies`), in the same transactions, so that nobody counts
100,000 rows to draw a progress bar.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

from farm.domain.batch import BatchState
from farm.domain.clip import ENDED, ClipState
from farm.domain.fleet import Standing

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite numbers rows by itself only where the type is INTEGER; that holds 64 bits there.
_Sequence: Final = BigInteger().with_variant(Integer, "sqlite")
_Json: Final = JSON(none_as_null=True)


def _one_of(column: str, values: list[str]) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


_CLIP_STATES: Final = _one_of("state", [state.value for state in ClipState])
_ENDED: Final = _one_of("state", [state.value for state in ClipState if state in ENDED])


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
    Column("number", _Sequence, primary_key=True),
    Column("batch_id", Text, nullable=False, unique=True),
    Column("project", Text, nullable=False),
    Column("name", Text, nullable=False, index=True),
    Column("priority", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("published_at", Double),
    Column("deadline", Double),
    Column("needs", _Json),
    Column("limits", _Json),
    Column("after", _Json),
    Column("first_look", Integer, nullable=False, server_default="0"),
    Column("every", Integer, nullable=False, server_default="0"),
    Column("failures_max", Integer),
    Column("failures_forgiven", Integer, nullable=False, server_default="0"),
    CheckConstraint(_one_of("state", [state.value for state in BatchState]), name="state"),
    Index("ix_batches_project_number", "project", "number"),
)
"""Submissions. `number` is their order, whatever the clock did; `published_at` is NULL while a
submission is still coming in."""

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
    Column("steps", _Json),
    Column("guidance_scale", Double),
    Column("state", Text, nullable=False),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("chunks_done", Integer, nullable=False, server_default="0"),
    Column("losses", Integer, nullable=False, server_default="0"),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("blocked", _Json),
    Column("input_failed", _Json),
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
    Column("columns", _Json),
    Column("options", _Json),
)
"""A clip's words, its batch's own columns as they were given, and what else was asked for that no
plan looks at (`farm.store.options`); NULL where that is nothing."""

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
    Column("steered", _Json),
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

reviews: Final = Table(
    "reviews",
    metadata,
    Column("number", _Sequence, primary_key=True),
    Column("clip_id", Text, ForeignKey("takes.clip_id"), nullable=False, index=True),
    Column("verdict", Text, nullable=False),
    Column("note", Text, nullable=False, server_default=""),
    Column("reviewer", Text, nullable=False),
    Column("at", Double, nullable=False),
    CheckConstraint(_one_of("verdict", ["approved", "rejected"]), name="verdict"),
)
"""What people said about takes; the latest counts."""

cards: Final = Table(
    "cards",
    metadata,
    Column("card_id", Text, primary_key=True),
    Column("node_id", Text, nullable=False),
    Column("hostname", Text, nullable=False),
    Column("slot", Integer, nullable=False),
    Column("device", Text, nullable=False),
    Column("vram_bytes", BigInteger, nullable=False),
    Column("renderer", Text, nullable=False),
    Column("model_digest", Text, nullable=False),
    Column("stack_id", Text, nullable=False),
    Column("incarnation", Text, nullable=False),
    Column("frames_rendered", BigInteger, nullable=False),
    Column("card_type", Text, nullable=False, server_default=""),
    Column("tags", _Json),
    Column("profile", Text, nullable=False, server_default=""),
    Column("models", _Json),
    Column("lanes", Integer, nullable=False, server_default="1"),
    Column("power_cap_watts", Double, nullable=False, server_default="0"),
    Column("pace", Double, nullable=False, server_default="0"),
    Column("standing", Text, nullable=False, server_default="open"),
    Column("standing_reason", Text, nullable=False, server_default=""),
    Column("examination", BigInteger, nullable=False, server_default="0"),
    Column("profiles", _Json),
)
"""Cards as they were last heard of, and what was decided of them. `profile` is the first of
`profiles`, which the version before them asks for."""

nodes: Final = Table(
    "nodes",
    metadata,
    Column("hostname", Text, primary_key=True),
    Column("standing", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("schedule", Text, nullable=False),
    Column("circuit", Text, nullable=False),
    Column("changed_at", Double, nullable=False),
    CheckConstraint(_one_of("standing", [each.value for each in Standing]), name="standing"),
)
"""Machines of which something was decided."""

circuits: Final = Table(
    "circuits",
    metadata,
    Column("name", Text, primary_key=True),
    Column("watts", Double, nullable=False),
    CheckConstraint("watts > 0", name="watts"),
)

projects: Final = Table(
    "projects",
    metadata,
    Column("name", Text, primary_key=True),
    Column("weight", Double, nullable=False),
    Column("cap", Integer),
    Column("burst", Integer),
    Column("usage", Double, nullable=False),
    Column("usage_at", Double, nullable=False),
    CheckConstraint("weight > 0", name="weight"),
    CheckConstraint("cap IS NULL OR cap >= 1", name="cap"),
    CheckConstraint("burst IS NULL OR burst >= 1", name="burst"),
)
"""Whose work it is; `default` is always there."""

limits: Final = Table(
    "limits",
    metadata,
    Column("name", Text, primary_key=True),
    Column("most", Integer, nullable=False),
    CheckConstraint("most >= 1", name="most"),
)

looks: Final = Table(
    "looks",
    metadata,
    Column("clip_id", Text, ForeignKey("clips.clip_id"), primary_key=True),
    Column("score", Double),
    Column("note", Text, nullable=False, server_default=""),
    Column("at", Double, nullable=False),
)
"""What people said of clips at their first look; the latest counts."""

fleet_events: Final = Table(
    "fleet_events",
    metadata,
    Column("sequence", _Sequence, primary_key=True),
    Column("at", Double, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("target", Text, nullable=False, index=True),
    Column("kind", Text, nullable=False),
    Column("detail", Text, nullable=False),
)
"""What was decided of nodes and cards, in the order of commits."""

events: Final = Table(
    "events",
    metadata,
    Column("sequence", _Sequence, primary_key=True),
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
