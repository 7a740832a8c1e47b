"""The figures of a batch's report: sums over what the farm tells of it, and their words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from google.protobuf.timestamp_pb2 import Timestamp

from farm.client.plain import word
from heliostat.v1 import types_pb2 as types

if TYPE_CHECKING:
    from farm.client.report import Sources


_SHORT_SECONDS: Final = 7200.0
_GIVEN_UP: Final = (types.CLIP_STATE_FAILED, types.CLIP_STATE_CANCELLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Sums over a batch."""

    clips: int
    states: Mapping[str, int]
    delivered: int
    """Clips with a take, those that were there already counted in."""
    reused: int
    video_seconds: float
    ended: bool
    until: float
    """Unix seconds of its end, or of the report."""
    wall_seconds: float
    spent: types.Spent
    vain_seconds: float
    """Of the cards' time: what no take has in it, nor a clip that may have one."""
    kilowatt_hours: float
    energy_basis: str
    joules_per_second: float
    """Of delivered video."""
    currency: str
    lost: int
    failed: int
    """Tries."""
    waits: list[float]
    """Seconds from a clip's coming to its first lease."""
    renders: list[float]
    chunks: list[float]
    """Seconds of a chunk, the mean of each clip's."""
    spans: list[float]
    """Seconds from the first lease to the take."""


def figures_of(sources: Sources) -> Figures:
    """All of them."""
    batch, works = sources.batch, sources.works
    done = [clip for clip in sources.clips if clip.state == types.CLIP_STATE_DONE]
    own = [works[c.clip_id] for c in done if sources.is_own(c) and c.clip_id in works]
    video = sum(clip.take.frames / clip.spec.fps for clip in done)
    until = moment(batch.ended_at) if batch.HasField("ended_at") else sources.made_at.timestamp()
    kept = [c for c in sources.clips if c.state not in _GIVEN_UP and c.clip_id in works]
    spent, chunks = batch.spent, sum(work.chunks for work in works.values())
    measured = sum(work.chunks_measured for work in works.values())
    leased = [work for work in works.values() if work.HasField("first_leased_at")]
    return Figures(
        clips=len(sources.clips),
        states=Counter(word(types.ClipState.Name(c.state), "ClipState") for c in sources.clips),
        delivered=len(done),
        reused=sum(not sources.is_own(clip) for clip in done),
        video_seconds=video,
        ended=batch.HasField("ended_at"),
        until=until,
        wall_seconds=max(0.0, until - moment(batch.created_at)),
        spent=spent,
        vain_seconds=max(
            0.0, spent.card_seconds - sum(works[c.clip_id].render_seconds for c in kept)
        ),
        kilowatt_hours=spent.joules / 3.6e6,
        energy_basis=_energy_basis(measured, chunks),
        joules_per_second=spent.joules / video if video else 0.0,
        currency=batch.promise.currency,
        lost=sum(work.lost for work in works.values()),
        failed=sum(work.failed for work in works.values()),
        waits=[moment(w.first_leased_at) - moment(w.created_at) for w in leased],
        renders=[work.render_seconds for work in own if work.chunks],
        chunks=[w.render_seconds / w.chunks for w in works.values() if w.chunks],
        spans=[moment(w.ended_at) - moment(w.first_leased_at) for w in own if w in leased],
    )


def _energy_basis(measured: int, chunks: int) -> str:
    if not chunks or not measured:
        return "estimated by power caps" if chunks else ""
    if measured == chunks:
        return "measured"
    return f"measured for {share(measured, chunks)} of the chunks, the rest estimated"


def moment(stamp: Timestamp) -> float:
    """Unix seconds."""
    return stamp.ToMicroseconds() / 1e6


def clock_of(sources: Sources) -> Callable[[Timestamp], str]:
    """How moments are written: in the report's zone, with seconds where a batch is short."""
    batch, zone = sources.batch, sources.made_at.tzinfo
    until = moment(batch.ended_at) if batch.HasField("ended_at") else sources.made_at.timestamp()
    text = "%Y-%m-%d %H:%M"
    if until - moment(batch.created_at) < _SHORT_SECONDS:
        text += ":%S"
    return lambda stamp: f"{datetime.fromtimestamp(moment(stamp), zone):{text}}"


def energy(joules: float) -> str:
    """`3.20 kWh`, `412.00 Wh`, `0.42 Wh`."""
    kilowatt_hours = joules / 3.6e6
    if kilowatt_hours >= 1 or not joules:
        return f"{amount(kilowatt_hours)} kWh"
    return f"{amount(1000 * kilowatt_hours)} Wh"


def share(part: float, whole: float) -> str:
    """`7%`; of nothing it is nothing."""
    return f"{part / whole:.0%}" if whole else "0%"


def amount(value: float) -> str:
    """`1,204.50`, `0.00312`: no small amount is shown as nothing."""
    if not value:
        return "0"
    return f"{value:,.2f}" if abs(value) >= 1 else f"{value:.3g}"


def seconds_text(seconds: float) -> str:
    """`0.42 s`, `12.5 s`, `4 min 05 s`, `3 h 20 min`, `2 d 04 h`."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 90:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 5400:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24:02d} h"
