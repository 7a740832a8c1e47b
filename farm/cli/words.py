"""Batches, clips and fleets as people read them."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from heliostat.v1 import fleet_service_pb2 as fleet_pb
    from heliostat.v1 import types_pb2 as types

STATES = ("waiting", "queued", "leased", "held", "done", "failed", "cancelled")


def plural(count: int, word: str) -> str:
    """`1 clip`, `2 clips`, `2 batches`."""
    if count == 1:
        return f"1 {word}"
    return f"{count:,} {word}es" if word.endswith("ch") else f"{count:,} {word}s"


def clips_of(batch: types.Batch) -> int:
    """All clips of a batch."""
    return sum(getattr(batch.clips, state) for state in STATES)


def ended(batch: types.Batch) -> int:
    """Clips that have come to their end, whichever."""
    return batch.clips.done + batch.clips.failed + batch.clips.cancelled


def counts(clips: types.ClipCounts) -> str:
    """`3 done, 1 failed`: the states that have clips."""
    named = [(getattr(clips, state), state) for state in STATES]
    return ", ".join(f"{count:,} {state}" for count, state in named if count) or "no clips"


def clip_state(value: types.ClipState.ValueType) -> str:
    """`done` for CLIP_STATE_DONE."""
    from heliostat.v1 import types_pb2 as types

    return types.ClipState.Name(value).removeprefix("CLIP_STATE_").lower()


def batch_state(batch: types.Batch) -> str:
    """Open, paused or cancelled, or ended when no clip will change."""
    from heliostat.v1 import types_pb2 as types

    name = types.BatchState.Name(batch.state).removeprefix("BATCH_STATE_").lower()
    return "ended" if name == "open" and ended(batch) == clips_of(batch) else name


def standing(value: types.Standing.ValueType, reason: str = "") -> str:
    """`locked: fan` for STANDING_LOCKED with its reason."""
    from heliostat.v1 import types_pb2 as types

    name = types.Standing.Name(value).removeprefix("STANDING_").lower()
    return f"{name}: {reason}" if reason else name


def score(clip: types.Clip) -> str:
    """A clip's score, or nothing."""
    return f"{clip.look.score:g}" if clip.look.HasField("score") else ""


def verdict(clip: types.Clip) -> str:
    """`approved`, `rejected`, `awaiting` for a latest take without a review, or nothing."""
    from heliostat.v1 import types_pb2 as types

    if clip.HasField("review"):
        name = types.Review.Verdict.Name(clip.review.verdict)
        return name.removeprefix("VERDICT_").lower()
    return "awaiting" if clip.state == types.CLIP_STATE_DONE and clip.latest else ""


def local_time(stamp: Timestamp) -> str:
    """A time on this machine's clock."""
    return f"{stamp.ToDatetime(tzinfo=UTC).astimezone():%Y-%m-%d %H:%M}"


def needs(asked: types.Needs) -> str:
    """`rtx-4060-ti or h100, 16.0 GB of VRAM, tag fast`; empty when nothing is asked."""
    parts = [" or ".join(asked.card_types)] if asked.card_types else []
    parts += [f"{size(asked.vram_bytes)} of VRAM"] if asked.vram_bytes else []
    parts += [f"tag {tag}" for tag in asked.tags]
    parts += [f"profile {asked.profile}"] if asked.profile else []
    parts += [f"model {asked.model}"] if asked.model else []
    parts += [f"stack {asked.stack_id}"] if asked.stack_id else []
    return ", ".join(parts)


def order(every: int) -> str:
    """In which order a batch's clips go out."""
    return {0: "the longest first", 1: "as in the file"}.get(every, f"every {every}th first")


def planned(batch: types.Batch) -> str:
    """All that a batch is planned by, on one line."""
    parts = [f"priority {batch.priority}", order(batch.every)]
    if batch.HasField("deadline"):
        parts.append(f"due {local_time(batch.deadline)}")
    if wanted := needs(batch.needs):
        parts.append(f"needs {wanted}")
    if batch.limits:
        parts.append(f"limits {', '.join(batch.limits)}")
    if batch.after:
        parts.append(f"after {', '.join(batch.after)}")
    if batch.first_look:
        parts.append("first look")
    if batch.HasField("failures_max"):
        most = batch.failures_max
        parts.append(f"pauses after {most} failed" if most else "never pauses by itself")
    for field, value in batch.budget.ListFields():
        parts.append(f"budget {value:g} {'kWh' if 'kilowatt' in field.name else field.name}")
    for name in ("webhook", "look", "deliver_to", "output"):
        if text := getattr(batch, name):
            parts.append(f"{name.replace('_', ' ')} {text}")
    return ", ".join(parts)


def span(seconds: float) -> str:
    """A length of time in the unit that fits: `40 s`, `12 min`, `3.4 h`, `2.1 days`."""
    if seconds < 60:
        return f"{max(seconds, 0):.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    if seconds < 2 * 86_400:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86_400:.1f} days"


def open_clips(clips: types.ClipCounts) -> int:
    """Clips that have not ended."""
    return clips.waiting + clips.queued + clips.leased + clips.held


def stopped(card: types.Card) -> str:
    """Why a card that is here takes no clips; empty: it does."""
    from heliostat.v1 import types_pb2 as pb_types

    if card.standing not in (pb_types.STANDING_UNSPECIFIED, pb_types.STANDING_OPEN):
        return standing(card.standing, card.standing_reason)
    return card.condition if card.condition not in ("", "ready") else ""


def card_state(card: types.Card) -> str:
    """renders, idle, dead, or why it takes nothing."""
    if not card.online:
        return f"dead for {span(card.seen_seconds_ago)}"
    return stopped(card) or ("renders" if card.clip_ids else "idle")


def rates(fleet: fleet_pb.GetFleetResponse) -> str:
    """The fleet's rates over the last minute, with what they are compared with."""
    base = fleet.baseline
    steps = ",".join(str(n) for n in base.steps)
    basis = f", {fleet.h100_equivalents_basis}" if fleet.h100_equivalents_basis else ""
    return (
        f"{fleet.rendered_frames_per_second:.2f} FPS rendered, "
        f"{fleet.delivered_frames_per_second:.2f} delivered · "
        f"{fleet.h100_equivalents:.4g} H100 equivalents{basis} "
        f"({base.name}: {base.frames_per_second:g} FPS at steps [{steps}], "
        f"{base.width}x{base.height}, {base.basis})"
    )


def size(count: int) -> str:
    """Bytes in a unit that fits."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
