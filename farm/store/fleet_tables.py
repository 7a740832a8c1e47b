"""The ledger's tables of the fleet, of what batches share, and of what was used."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, CheckConstraint, Column, Double, Integer, Table, Text

from farm.domain.fleet import Standing
from farm.domain.usage import Usage
from farm.store.metadata import JSON_TYPE, SEQUENCE, metadata, one_of

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
    Column("tags", JSON_TYPE),
    Column("profile", Text, nullable=False, server_default=""),
    Column("models", JSON_TYPE),
    Column("lanes", Integer, nullable=False, server_default="1"),
    Column("power_cap_watts", Double, nullable=False, server_default="0"),
    Column("pace", Double, nullable=False, server_default="0"),
    Column("standing", Text, nullable=False, server_default="open"),
    Column("standing_reason", Text, nullable=False, server_default=""),
    Column("examination", BigInteger, nullable=False, server_default="0"),
    Column("profiles", JSON_TYPE),
    Column("frames_open", BigInteger, nullable=False, server_default="0"),
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
    CheckConstraint(one_of("standing", [each.value for each in Standing]), name="standing"),
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
    Column("look", Text, nullable=False, server_default=""),
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

saved_looks: Final = Table(
    "saved_looks",
    metadata,
    Column("name", Text, primary_key=True),
    Column("pins", JSON_TYPE, nullable=False),
    Column("note", Text, nullable=False, server_default=""),
    Column("saved_at", Double, nullable=False),
)
"""What the clips of a project have in common, by name; never changed, for clips were made by it."""

usage: Final = Table(
    "usage",
    metadata,
    Column("day", Text, primary_key=True),
    Column("project", Text, primary_key=True),
    *(
        Column(
            name,
            Double if isinstance(field.default, float) else BigInteger,
            nullable=False,
            server_default="0",
        )
        for name, field in Usage.__dataclass_fields__.items()
    ),
)
"""What was rendered, made and used on each UTC day, by project; a project of "" is nobody's."""

fleet_events: Final = Table(
    "fleet_events",
    metadata,
    Column("sequence", SEQUENCE, primary_key=True),
    Column("at", Double, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("target", Text, nullable=False, index=True),
    Column("kind", Text, nullable=False),
    Column("detail", Text, nullable=False),
)
"""What was decided of nodes and cards, in the order of commits."""
