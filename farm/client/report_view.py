"""A batch's report as a page: what of its sources is shown, in which words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from statistics import median
from typing import TYPE_CHECKING, Any, Final

import farm
from farm.client.plain import word
from farm.client.report import Sources, alike
from farm.client.report_figures import (
    Figures,
    amount,
    clock_of,
    energy,
    figures_of,
    moment,
    seconds_text,
    share,
)
from farm.html import render
from farm.html.timeline import Timeline, timeline
from heliostat.v1 import types_pb2 as types

if TYPE_CHECKING:
    from heliostat.v1 import batch_service_pb2 as pb

ROWS_MAX: Final = 500
"""Clips that are listed."""
WORST: Final = 10
NOTED_MAX: Final = 25
_STATES: Final = ("done", "leased", "held", "queued", "waiting", "failed", "cancelled")
_NAMED: Final = 5
"""Clips that are named for each reason."""
_SIGNALS: Final = (
    ("seam_flicker_worst", "worst seam", " x"),
    ("drift", "drift", ""),
    ("over_saturation", "over-saturated", ""),
    ("frozen_frames_longest", "frozen", " f"),
    ("black_frames_longest", "black", " f"),
)


def report_page(sources: Sources) -> str:
    """The whole page, as HTML."""
    figures, batch = figures_of(sources), sources.batch
    return render(
        "report.html.j2",
        title=f"{batch.name or batch.batch_id}: report",
        batch=batch,
        state=_state(batch),
        figures=figures,
        when=clock_of(sources),
        made_at=f"{sources.made_at:%Y-%m-%d %H:%M %Z}",
        version=farm.__version__,
        tiles=list(_tiles(figures, batch)),
        states=[(name, n, n / figures.clips) for name in _STATES if (n := figures.states[name])],
        outcome=list(_outcome(figures, sources)),
        chart=_chart(figures, sources),
        pictures=list(_pictures(sources)),
        pictures_more=figures.delivered - len(sources.pictures) if sources.pictures else 0,
        timings=list(_timings(figures)),
        rows=[_row(clip, sources) for clip in sources.clips[:ROWS_MAX]],
        rows_more=max(0, len(sources.clips) - ROWS_MAX),
        failures=_reasons(sources, types.CLIP_STATE_FAILED),
        cancelled=_reasons(sources, types.CLIP_STATE_CANCELLED),
        marks=_marks(sources),
        measured=len(sources.quality),
        signals=[name for _, name, _ in _SIGNALS],
        worst=list(_worst(sources)),
        makings=_makings(sources),
        cards=list(_cards(sources)),
        reviews=list(_reviews(sources)),
        reviews_more=max(0, len(_noted(sources)) - NOTED_MAX),
        notes=sources.notes,
        budget=_budget(batch, figures.currency),
    )


def _state(batch: types.Batch) -> str:
    name = word(types.BatchState.Name(batch.state), "BatchState")
    return "ended" if name == "open" and batch.HasField("ended_at") else name


def _tiles(figures: Figures, batch: types.Batch) -> Iterator[tuple[str, str, str]]:
    """(what, figure, what it is beside)"""
    yield "delivered", f"{figures.delivered:,} of {figures.clips:,}", "clips"
    yield "video", seconds_text(figures.video_seconds), f"{batch.frames_delivered:,} frames"
    yield (
        "from submission to end" if figures.ended else "since it was submitted",
        (seconds_text(figures.wall_seconds)),
        "",
    )
    of_it = f"{share(figures.vain_seconds, figures.spent.card_seconds)} of it in vain"
    yield "cards at work", seconds_text(figures.spent.card_seconds), of_it
    yield "energy of the boards", energy(figures.spent.joules), figures.energy_basis
    yield (
        "cost",
        f"{amount(figures.spent.money)} {figures.currency}".strip(),
        (
            f"{amount(figures.spent.money / figures.delivered)} for each clip"
            if figures.delivered
            else "electricity and the cards' wear"
        ),
    )
    if figures.delivered:
        yield "of a delivered second", f"{figures.joules_per_second:,.0f} J", "vain work counted in"
    yield (
        "tries that failed or were lost",
        f"{figures.lost + figures.failed:,}",
        (f"{figures.lost:,} lost, {figures.failed:,} failed"),
    )


def _budget(batch: types.Batch, currency: str) -> str:
    caps = {"money": currency, "hours": "card hours", "kilowatt_hours": "kWh"}
    given = [(field.name, value) for field, value in batch.budget.ListFields()]
    return ", ".join(f"{amount(value)} {caps[name]}" for name, value in given)


def _outcome(figures: Figures, sources: Sources) -> Iterator[tuple[str, str, str, str, str]]:
    """What was promised, its range, what it came to, and whether that lies in the range."""
    promise, batch = sources.batch.promise, sources.batch
    if not promise.HasField("hours"):
        return
    when = clock_of(sources)
    early, late = when(promise.finish_early), when(promise.finish_late)
    came = when(batch.ended_at) if figures.ended else "not ended yet"
    lies = ""
    if figures.ended:
        lies = _lies(
            moment(batch.ended_at), moment(promise.finish_early), moment(promise.finish_late),
            "earlier than promised", "later than promised",
        )  # fmt: skip
    yield "done at", when(promise.finish_at), f"{early} to {late}", came, lies
    for name, told, used, unit in (
        ("cards at work", promise.card_hours, figures.spent.card_seconds / 3600, "h"),
        ("energy", promise.kilowatt_hours, figures.kilowatt_hours, "kWh"),
        ("cost", promise.money, figures.spent.money, promise.currency),
    ):
        lies = _lies(used, told.low, told.high, "less", "more") if figures.ended else "so far"
        yield (
            name,
            f"{amount(told.likely)} {unit}",
            f"{amount(told.low)} to {amount(told.high)}",
            f"{amount(used)} {unit}",
            lies,
        )


def _lies(value: float, low: float, high: float, under: str, over: str) -> str:
    if low <= value <= high:
        return "in the range"
    return under if value < low else over


def _chart(figures: Figures, sources: Sources) -> Timeline | None:
    """Delivered frames over time; None where nothing was delivered."""
    batch, promise = sources.batch, sources.batch.promise
    came = [
        (moment(clip.take.finished_at), float(clip.take.frames))
        for clip in sources.clips
        if sources.is_own(clip)
    ]
    if not came:
        return None
    begin, until = moment(batch.created_at), max(figures.until, max(at for at, _ in came))
    marks, band, end = [], None, until
    if promise.HasField("hours"):
        band = moment(promise.finish_early), moment(promise.finish_late)
        end = max(end, min(band[1], begin + 4 * (end - begin)))
        marks.append((moment(promise.finish_at), "promised"))
    if batch.HasField("deadline"):
        marks.append((moment(batch.deadline), "deadline"))
    return timeline(
        came,
        most=float(batch.frames),
        begin=begin,
        until=until,
        end=end,
        zone=sources.made_at.tzinfo,
        marks=marks,
        band=band,
    )


def _pictures(sources: Sources) -> Iterator[Mapping[str, str]]:
    for clip in sources.clips:
        if clip.clip_id in sources.pictures:
            yield {
                "uri": sources.pictures[clip.clip_id],
                "name": _name(clip),
                "prompt": clip.spec.prompt,
                "verdict": _verdict(clip),
            }


def _timings(figures: Figures) -> Iterator[tuple[str, str, str, str]]:
    """(what, median, ninth decile, most)"""
    for name, values in (
        ("wait for a card", figures.waits),
        ("rendering of a clip", figures.renders),
        ("rendering of a chunk", figures.chunks),
        ("from a card's start to the take", figures.spans),
    ):
        if values:
            ordered = sorted(values)
            ninth = ordered[min(len(ordered) - 1, int(0.9 * len(ordered)))]
            most = ordered[-1]
            yield name, seconds_text(median(ordered)), seconds_text(ninth), seconds_text(most)


def _row(clip: types.Clip, sources: Sources) -> Mapping[str, Any]:
    work = sources.works.get(clip.clip_id)
    tries = work.leases if work is not None else 0
    return {
        "name": _name(clip),
        "state": _clip_state(clip),
        "frames": f"{clip.spec.frames:,}",
        "waited": _waited(work),
        "rendered": seconds_text(work.render_seconds) if work and work.chunks else "",
        "tries": f"{tries:,}" if tries else "",
        "joules": f"{work.joules:,.0f}" if work and work.chunks_measured else "",
        "card": clip.card_id,
        "verdict": _verdict(clip),
        "prompt": clip.spec.prompt,
    }


def _waited(work: pb.ClipWork | None) -> str:
    if work is None or not work.HasField("first_leased_at"):
        return ""
    return seconds_text(moment(work.first_leased_at) - moment(work.created_at))


def _reasons(sources: Sources, state: types.ClipState.ValueType) -> list[Mapping[str, Any]]:
    """Clips by why they ended so, the most frequent reason first."""
    found: dict[str, list[str]] = {}
    for clip in sources.clips:
        if clip.state == state:
            found.setdefault(alike(clip.reason), []).append(_name(clip))
    ordered = sorted(found.items(), key=lambda each: -len(each[1]))
    return [
        {
            "reason": reason or "no reason was given",
            "count": len(names),
            "names": ", ".join(names[:_NAMED]),
            "more": max(0, len(names) - _NAMED),
            "remedies": sources.remedies.get(reason, ()),
        }
        for reason, names in ordered[:NOTED_MAX]
    ]


def _marks(sources: Sources) -> list[tuple[str, int]]:
    """How many takes bear each mark."""
    counted = Counter(mark for facts in sources.quality for mark in facts.get("marks", ()))
    return counted.most_common()


def _worst(sources: Sources) -> Iterator[tuple[str, str, list[str]]]:
    """Takes by how many marks they bear, then by their worst seam: name, marks, signals."""
    names = {clip.clip_id: _name(clip) for clip in sources.clips}

    def badness(facts: Mapping[str, Any]) -> tuple[float, ...]:
        signals = facts.get("signals", {})
        return -len(facts.get("marks", ())), -signals.get("seam_flicker_worst", 0.0)

    for facts in sorted(sources.quality, key=badness)[:WORST]:
        signals = facts.get("signals", {})
        shown = [
            f"{amount(signals[key])}{unit}" if key in signals else "" for key, _, unit in _SIGNALS
        ]
        yield names.get(facts["clip_id"], ""), ", ".join(facts.get("marks", ())), shown


def _makings(sources: Sources) -> list[tuple[str, str, int]]:
    """Model digests and stacks of the takes, with how many have each."""
    counted = Counter(
        (work.model_digest or "none (test cards)", work.stack_id)
        for clip in sources.clips
        if clip.state == types.CLIP_STATE_DONE
        and (work := sources.works.get(clip.clip_id)) is not None
    )
    return [(model, stack, count) for (model, stack), count in counted.most_common()]


def _cards(sources: Sources) -> Iterator[tuple[str, str, str, int]]:
    """Cards that rendered chunks of it: id, type, host, clips."""
    counted = Counter(card for work in sources.works.values() for card in work.card_ids)
    for card_id, clips in counted.most_common(ROWS_MAX):
        card = sources.cards.get(card_id)
        yield card_id, card.card_type if card else "", card.hostname if card else "gone", clips


def _reviews(sources: Sources) -> Iterator[tuple[str, str, str, str]]:
    """Reviews that say something, the rejected ones first."""
    said = _noted(sources)
    said.sort(key=lambda clip: clip.review.verdict != types.Review.VERDICT_REJECTED)
    for clip in said[:NOTED_MAX]:
        yield _name(clip), _verdict(clip), clip.review.note, clip.review.reviewer


def _noted(sources: Sources) -> list[types.Clip]:
    return [clip for clip in sources.clips if clip.HasField("review") and clip.review.note]


def _name(clip: types.Clip) -> str:
    return clip.name if clip.version <= 1 else f"{clip.name} v{clip.version:03}"


def _clip_state(clip: types.Clip) -> str:
    return word(types.ClipState.Name(clip.state), "ClipState")


def _verdict(clip: types.Clip) -> str:
    if not clip.HasField("review"):
        return ""
    return types.Review.Verdict.Name(clip.review.verdict).removeprefix("VERDICT_").lower()
