"""What `farm speed` prints: predictions by card and way of running, beside what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from farm.cli import output
from farm.domain.clip import CHUNK_FRAMES, Work
from farm.plan.bench_record import Calibration
from farm.plan.card_fit import Fit, Measured
from farm.plan.card_table import CARDS, Card
from farm.plan.card_time import (
    AS_PREDICTED,
    WAYS,
    ChunkTime,
    Run,
    Vae,
    offloaded,
    predict,
    roofline,
)
from farm.plan.economics import HELIOS

MODEL: Final = HELIOS["distilled"]
LIMITS: Final = {"limit, bf16": "bf16", "limit, int8": "int8"}
LIMIT: Final = "limit: all arithmetic at the card's peak, and no VAE"


@dataclass(frozen=True, slots=True)
class Question:
    """What is rendered."""

    work: Work
    lanes: int

    def __str__(self) -> str:
        work = self.work
        lanes = f", {self.lanes} lanes" if self.lanes > 1 else ""
        return f"{work.width}x{work.height}, steps {_steps(work)}{lanes}"


@dataclass(frozen=True, slots=True)
class _Speed:
    """One way of running on one card."""

    run: Run
    time: ChunkTime
    figure: str
    """predicted or calibrated."""


def print_all(question: Question) -> None:
    """Frames per second of every card of the table."""
    output.say(f"frames per second of Helios-Distilled, {question}: predicted, none was measured")
    rows = []
    for card in CARDS.values():
        speeds = dict(_speeds(question, card, None))
        rates = [
            _short(speeds[way].time.frames_per_second) if way in speeds else "-" for way in WAYS
        ]
        rows.append([card.name, *rates, *map(_short, _limits(question, card))])
    headers = [_stacked(each) for each in (*WAYS, *LIMITS)]
    numbers = set(range(1, 1 + len(headers)))
    output.print_table(["card type", *headers], rows, numbers, narrow=True)
    output.say(LIMIT)
    output.say("`farm speed CARD-TYPE` shows the parts, --bench FILE what was measured")


def print_card(question: Question, name: str, calibration: Calibration | None) -> None:
    """Parts of a chunk on one card, its limits, and what was measured of it."""
    card = CARDS[name]
    output.say(f"{name}: seconds of a chunk of Helios-Distilled, {question}")
    rows = [
        [
            way,
            f"{speed.run.streamed_bytes / 1e9:.1f}",
            *(_short(seconds) for seconds in asdict(speed.time).values()),
            _short(speed.time.frames_per_second),
            speed.figure,
        ]
        for way, speed in _speeds(question, card, calibration)
    ]
    blank = [""] * 6
    for limit, rate in zip(LIMITS, _limits(question, card), strict=True):
        rows.append([limit, *blank, _short(rate), "limit"])
    headers = (
        *("", "GB/\npass", "matrix", "atten-\ntion", "ele-\nment-\nwise"),
        *("waits", "VAE", "FPS", "figures"),
    )
    output.print_table(headers, rows, set(range(1, 8)), narrow=True)
    output.say("GB/pass come over the link, and are waited for if they are late")
    output.say(LIMIT)
    if calibration is not None:
        output.say("predicted: not told by the records, corrected by what they tell")
        _print_measured(calibration)


def values(
    question: Question, names: Sequence[str], found: Mapping[str, Calibration]
) -> dict[str, Any]:
    """The same for programs; no names are all cards."""
    work = question.work
    return {
        "model": MODEL.variant,
        "width": work.width,
        "height": work.height,
        "steps": list(work.steps),
        "lanes": question.lanes,
        "cards": [
            _card_values(question, CARDS[name], found.get(name))
            for name in dict.fromkeys(names or CARDS)
        ],
    }


def _card_values(question: Question, card: Card, calibration: Calibration | None) -> dict[str, Any]:
    value: dict[str, Any] = {
        "card_type": card.name,
        "source": card.source,
        "speeds": [
            {
                "way": way,
                "profile": speed.run.profile,
                "attention": speed.run.attention,
                "vae": speed.run.vae,
                "bytes_streamed_per_pass": speed.run.streamed_bytes,
                "seconds": asdict(speed.time),
                "seconds_per_chunk": speed.time.seconds,
                "frames_per_second": speed.time.frames_per_second,
                "figure": speed.figure,
            }
            for way, speed in _speeds(question, card, calibration)
        ],
        "frames_per_second_limit": dict(zip(LIMITS.values(), _limits(question, card), strict=True)),
    }
    if calibration is not None:
        value["corrections"] = asdict(calibration.fit.corrections)
        value["unknown"] = list(calibration.fit.gaps)
        value["measured"] = [
            _measured_values(each, *_said(calibration, each)) for each in calibration.measured
        ]
    return value


def _measured_values(measured: Measured, predicted: float, calibrated: float) -> dict[str, Any]:
    run, work = measured.run, measured.work
    return {
        "model": measured.model.variant,
        "profile": run.profile,
        "vae": run.vae,
        "width": work.width,
        "height": work.height,
        "steps": list(work.steps),
        "lanes": run.lanes,
        "bytes_streamed_per_pass": run.streamed_bytes,
        "seconds_per_chunk_measured": measured.seconds,
        "seconds_per_chunk_predicted": predicted,
        "seconds_per_chunk_calibrated": calibrated,
    }


def _speeds(
    question: Question, card: Card, calibration: Calibration | None
) -> Iterator[tuple[str, _Speed]]:
    """Each way that the card has the arithmetic for."""
    fit = calibration.fit if calibration else None
    for way, plain in WAYS.items():
        run = offloaded(card, replace(plain, lanes=question.lanes), MODEL)
        corrections = fit.corrections if fit else AS_PREDICTED
        try:
            time = predict(card, run, MODEL, question.work, corrections)
        except ValueError:
            continue
        known = fit is not None and fit.covers(card, run, MODEL, question.work)
        yield way, _Speed(run, time, "calibrated" if known else "predicted")


def _print_measured(calibration: Calibration) -> None:
    output.say(f"{calibration.card.name}: frames per second as they were measured")
    rows = []
    for measured in calibration.measured:
        run, work = measured.run, measured.work
        seconds = (measured.seconds, *_said(calibration, measured))
        fps, predicted, calibrated = (CHUNK_FRAMES / each for each in seconds)
        rows.append(
            [
                *(_way(measured), f"{work.width}x{work.height}", _steps(work)),
                *(str(run.lanes), f"{run.streamed_bytes / 1e9:.1f}"),
                *(_short(fps), _short(predicted), f"{fps / predicted:.2f}"),
                *(_short(calibrated), f"{fps / calibrated:.2f}"),
            ]
        )
    headers = (
        *("profile", "size", "steps", "lanes", "GB/\npass", "meas-\nured"),
        *("pre-\ndicted", "ratio", "cali-\nbrated", "ratio"),
    )
    output.print_table(headers, rows, set(range(3, 10)), narrow=True)
    fit = calibration.fit
    output.say(f"measured time over predicted: {_corrections(fit)}")
    for gap in fit.gaps:
        output.say(f"not told: {gap}")


def _said(calibration: Calibration, measured: Measured) -> tuple[float, float]:
    """Seconds of a measured chunk, as predicted and as calibrated."""
    card, run, model, work = calibration.card, measured.run, measured.model, measured.work
    before, after = (
        predict(card, run, model, work, corrections).seconds
        for corrections in (AS_PREDICTED, calibration.fit.corrections)
    )
    return before, after


def _limits(question: Question, card: Card) -> list[float]:
    return [roofline(getattr(card, peak), MODEL, question.work) for peak in LIMITS.values()]


def _corrections(fit: Fit) -> str:
    """Each factor that the measurements tell."""
    found, profiles = fit.corrections, {profile for profile, _ in fit.shown}
    told = [f"computing {found.compute:.2f}"] if profiles else []
    if len(profiles) > 1:
        told.append(f"8 bits {found.low_bit:.2f} on top")
    told += [f"link {found.link:.2f}"] if fit.link else []
    told += [f"{vae} VAE {found.vae(vae):.2f}" for vae in Vae if vae in fit.vaes]
    return ", ".join(told)


def _way(measured: Measured) -> str:
    """Profile, and what is not the usual."""
    run, model = measured.run, measured.model
    said = [run.profile.value]
    said += [] if run.vae is Vae.BFLOAT16 else [f"{run.vae} VAE"]
    said += [] if model == MODEL else [model.variant]
    return ", ".join(said)


def _stacked(way: str) -> str:
    """A word on each line."""
    return way.replace("+", "\n+").replace(",", "").replace(" ", "\n")


def _short(number: float) -> str:
    return f"{number:.2f}" if number < 9.995 else f"{number:.1f}"


def _steps(work: Work) -> str:
    return ",".join(map(str, work.steps))
