"""The ledger's tables of the fleet, of what batches share, and of what was used."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Integer,
    Table,
    Text,
)

from farm.domain.fleet import Standing
from farm.domain.rollout import Kind, RolloutState, Step
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
    Column("release", Text, nullable=False, server_default=""),
    Column("releases", JSON_TYPE),
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

rollouts: Final = Table(
    "rollouts",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("canary", Integer, nullable=False),
    Column("at_once", Integer, nullable=False),
    Column("unattended", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("started_by", Text, nullable=False),
    Column("decided_by", Text, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("changed_at", Double, nullable=False),
    Column("pieces_sha256", Text, nullable=False),
    CheckConstraint(one_of("kind", [each.value for each in Kind]), name="kind"),
    CheckConstraint(one_of("state", [each.value for each in RolloutState]), name="state"),
    CheckConstraint("canary >= 1 AND at_once >= 1", name="numbers"),
)
"""Releases and models that were brought to the cards, in order."""

rollout_cards: Final = Table(
    "rollout_cards",
    metadata,
    Column("number", Integer, ForeignKey("rollouts.number"), primary_key=True, autoincrement=False),
    Column("card_id", Text, primary_key=True),
    Column("step", Text, nullable=False),
    Column("before", Text, nullable=False),
    Column("canary", Integer, nullable=False),
    Column("since", Double, nullable=False),
    Column("detail", Text, nullable=False),
    Column("examination", BigInteger, nullable=False),
    Column("deaths", Integer, nullable=False),
    Column("stack_before", Text, nullable=False),
    Column("stack_after", Text, nullable=False),
    Column("psnr_db", Double),
    Column("equal", Integer, nullable=False),
    CheckConstraint(one_of("step", [each.value for each in Step]), name="step"),
)
"""Cards in them: what each ran before, where it is, and what its examination found."""

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
