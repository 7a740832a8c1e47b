"""The first schema: batches, clips and their texts, chunks, takes, events and what guards them.

A migration is history: it says what the tables were, and does not follow `farm.store.tables`.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create all tables, with the rows that are there from the first day."""
    _create_farm()
    _create_totals()
    _create_batches()
    _create_clips()
    _index_clips()
    _create_texts()
    _create_tallies()
    _create_chunks()
    _create_takes()
    _create_reviews()
    _create_cards()
    _create_events()
    _create_requests()
    op.execute("INSERT INTO farm (id, epoch) VALUES (1, 0)")
    op.execute("INSERT INTO totals VALUES (1, 0, 0, 0, 0, 0, 0, 0, 0)")


def _create_farm() -> None:
    op.create_table(
        "farm",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("claimed_at", sa.Double(), nullable=True),
        sa.CheckConstraint("id = 1", name=op.f("ck_farm_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_farm")),
    )


def _create_totals() -> None:
    op.create_table(
        "totals",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("frames_rendered", sa.BigInteger(), nullable=False),
        sa.Column("frames_delivered", sa.BigInteger(), nullable=False),
        sa.Column("clips_delivered", sa.BigInteger(), nullable=False),
        sa.Column("attempts_lost", sa.BigInteger(), nullable=False),
        sa.Column("attempts_failed", sa.BigInteger(), nullable=False),
        sa.Column("chunks_recorded", sa.BigInteger(), nullable=False),
        sa.Column("bytes_delivered", sa.BigInteger(), nullable=False),
        sa.Column("stale_reports", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_totals_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_totals")),
    )


def _create_batches() -> None:
    op.create_table(
        "batches",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("batch_id", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("published_at", sa.Double(), nullable=True),
        sa.CheckConstraint(
            "state IN ('open', 'paused', 'cancelled')", name=op.f("ck_batches_state")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_batches")),
        sa.UniqueConstraint("batch_id", name=op.f("uq_batches_batch_id")),
    )
    op.create_index(op.f("ix_batches_name"), "batches", ["name"], unique=False)
    op.create_index("ix_batches_project_number", "batches", ["project", "number"], unique=False)


def _create_clips() -> None:
    op.create_table(
        "clips",
        sa.Column("clip_id", sa.Text(), nullable=False),
        sa.Column("batch_id", sa.Text(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("file_row", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("quality", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("frames", sa.Integer(), nullable=False),
        sa.Column("chunks", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("fps", sa.Integer(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("steps", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("guidance_scale", sa.Double(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("chunks_done", sa.Integer(), server_default="0", nullable=False),
        sa.Column("losses", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("blocked", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("input_failed", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("holder_card", sa.Text(), nullable=True),
        sa.Column("holder_incarnation", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("model_digest", sa.Text(), nullable=True),
        sa.Column("stack_id", sa.Text(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("finished_at", sa.Double(), nullable=True),
        sa.CheckConstraint(
            "(state IN ('done', 'failed', 'cancelled')) = (finished_at IS NOT NULL)",
            name=op.f("ck_clips_ended"),
        ),
        sa.CheckConstraint("state <> 'done' OR chunks_done = chunks", name=op.f("ck_clips_done")),
        sa.CheckConstraint(
            "state <> 'leased' OR holder_card IS NOT NULL", name=op.f("ck_clips_leased")
        ),
        sa.CheckConstraint(
            "state IN ('waiting', 'queued', 'leased', 'held', 'done', 'failed', 'cancelled')",
            name=op.f("ck_clips_state"),
        ),
        sa.CheckConstraint(
            "(holder_card IS NULL) = (holder_incarnation IS NULL)", name=op.f("ck_clips_holder")
        ),
        sa.CheckConstraint(
            "attempt >= 0 AND losses >= 0 AND failures >= 0", name=op.f("ck_clips_counts")
        ),
        sa.CheckConstraint("chunks_done BETWEEN 0 AND chunks", name=op.f("ck_clips_chunks_done")),
        sa.CheckConstraint("frames >= 1 AND chunks >= 1", name=op.f("ck_clips_frames")),
        sa.CheckConstraint(
            "ordinal >= 1 AND version >= 1 AND seed >= 0", name=op.f("ck_clips_numbers")
        ),
        sa.ForeignKeyConstraint(
            ["batch_id"], ["batches.batch_id"], name=op.f("fk_clips_batch_id_batches")
        ),
        sa.PrimaryKeyConstraint("clip_id", name=op.f("pk_clips")),
        sa.UniqueConstraint(
            "batch_id", "name", "version", name=op.f("uq_clips_batch_id_name_version")
        ),
        sa.UniqueConstraint("batch_id", "ordinal", name=op.f("uq_clips_batch_id_ordinal")),
    )


def _index_clips() -> None:
    op.create_index(
        "ix_clips_batch_id_state_ordinal", "clips", ["batch_id", "state", "ordinal"], unique=False
    )
    op.create_index(
        "ix_clips_open",
        "clips",
        ["batch_id", "ordinal"],
        unique=False,
        sqlite_where=sa.text("finished_at IS NULL"),
        postgresql_where=sa.text("finished_at IS NULL"),
    )


def _create_texts() -> None:
    op.create_table(
        "texts",
        sa.Column("clip_id", sa.Text(), nullable=False),
        sa.Column("prompt", sa.Text(), nullable=False),
        sa.Column("negative_prompt", sa.Text(), nullable=False),
        sa.Column("columns", sa.JSON(none_as_null=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["clip_id"], ["clips.clip_id"], name=op.f("fk_texts_clip_id_clips")
        ),
        sa.PrimaryKeyConstraint("clip_id", name=op.f("pk_texts")),
    )


def _create_tallies() -> None:
    op.create_table(
        "tallies",
        sa.Column("batch_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("clips", sa.BigInteger(), nullable=False),
        sa.Column("chunks", sa.BigInteger(), nullable=False),
        sa.Column("chunks_done", sa.BigInteger(), nullable=False),
        sa.Column("frames", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "state IN ('waiting', 'queued', 'leased', 'held', 'done', 'failed', 'cancelled')",
            name=op.f("ck_tallies_state"),
        ),
        sa.CheckConstraint(
            "clips >= 0 AND chunks >= 0 AND chunks_done >= 0 AND frames >= 0",
            name=op.f("ck_tallies_counts"),
        ),
        sa.ForeignKeyConstraint(
            ["batch_id"], ["batches.batch_id"], name=op.f("fk_tallies_batch_id_batches")
        ),
        sa.PrimaryKeyConstraint("batch_id", "state", name=op.f("pk_tallies")),
    )


def _create_chunks() -> None:
    op.create_table(
        "chunks",
        sa.Column("clip_id", sa.Text(), nullable=False),
        sa.Column("chunk", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("card_id", sa.Text(), nullable=False),
        sa.Column("frames", sa.Integer(), nullable=False),
        sa.Column("render_seconds", sa.Double(), nullable=False),
        sa.Column("encode_seconds", sa.Double(), nullable=False),
        sa.Column("recorded_at", sa.Double(), nullable=False),
        sa.Column("segment_key", sa.Text(), nullable=True),
        sa.Column("segment_sha256", sa.Text(), nullable=True),
        sa.Column("segment_size", sa.BigInteger(), nullable=True),
        sa.Column("init_key", sa.Text(), nullable=True),
        sa.Column("init_sha256", sa.Text(), nullable=True),
        sa.Column("init_size", sa.BigInteger(), nullable=True),
        sa.Column("negative_key", sa.Text(), nullable=True),
        sa.Column("negative_sha256", sa.Text(), nullable=True),
        sa.Column("negative_size", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["clip_id"], ["clips.clip_id"], name=op.f("fk_chunks_clip_id_clips")
        ),
        sa.PrimaryKeyConstraint("clip_id", "chunk", name=op.f("pk_chunks")),
    )


def _create_takes() -> None:
    op.create_table(
        "takes",
        sa.Column("clip_id", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("card_id", sa.Text(), nullable=False),
        sa.Column("frames", sa.Integer(), nullable=False),
        sa.Column("model_digest", sa.Text(), nullable=False),
        sa.Column("stack_id", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.Double(), nullable=False),
        sa.Column("video_key", sa.Text(), nullable=False),
        sa.Column("video_sha256", sa.Text(), nullable=False),
        sa.Column("video_size", sa.BigInteger(), nullable=False),
        sa.Column("sidecar_key", sa.Text(), nullable=False),
        sa.Column("sidecar_sha256", sa.Text(), nullable=False),
        sa.Column("sidecar_size", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["clip_id"], ["clips.clip_id"], name=op.f("fk_takes_clip_id_clips")
        ),
        sa.PrimaryKeyConstraint("clip_id", name=op.f("pk_takes")),
    )


def _create_reviews() -> None:
    op.create_table(
        "reviews",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("clip_id", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("reviewer", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.CheckConstraint("verdict IN ('approved', 'rejected')", name=op.f("ck_reviews_verdict")),
        sa.ForeignKeyConstraint(
            ["clip_id"], ["takes.clip_id"], name=op.f("fk_reviews_clip_id_takes")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_reviews")),
    )
    op.create_index(op.f("ix_reviews_clip_id"), "reviews", ["clip_id"], unique=False)


def _create_cards() -> None:
    op.create_table(
        "cards",
        sa.Column("card_id", sa.Text(), nullable=False),
        sa.Column("node_id", sa.Text(), nullable=False),
        sa.Column("hostname", sa.Text(), nullable=False),
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("vram_bytes", sa.BigInteger(), nullable=False),
        sa.Column("renderer", sa.Text(), nullable=False),
        sa.Column("model_digest", sa.Text(), nullable=False),
        sa.Column("stack_id", sa.Text(), nullable=False),
        sa.Column("incarnation", sa.Text(), nullable=False),
        sa.Column("frames_rendered", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("card_id", name=op.f("pk_cards")),
    )


def _create_events() -> None:
    op.create_table(
        "events",
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("batch_id", sa.Text(), nullable=False),
        sa.Column("clip_id", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("from_state", sa.Text(), nullable=False),
        sa.Column("to_state", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("card_id", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["batch_id"], ["batches.batch_id"], name=op.f("fk_events_batch_id_batches")
        ),
        sa.ForeignKeyConstraint(
            ["clip_id"], ["clips.clip_id"], name=op.f("fk_events_clip_id_clips")
        ),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_events")),
    )
    op.create_index("ix_events_batch_id_sequence", "events", ["batch_id", "sequence"], unique=False)
    op.create_index(op.f("ix_events_clip_id"), "events", ["clip_id"], unique=False)


def _create_requests() -> None:
    op.create_table(
        "requests",
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("batch_id", sa.Text(), nullable=False),
        sa.Column("result", sa.BigInteger(), nullable=False),
        sa.Column("answered_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_requests")),
    )
