"""`farm simulate`: what a fleet would make of a batch, before anybody buys or submits anything."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farm.cli import output
from farm.cli.bench_files import Bench, read_calibrations
from farm.cli.options import Json, command, pairs
from farm.cli.submit_flags import Map, Set
from farm.cli.words import plural

if TYPE_CHECKING:
    from farm.domain.spec import NewClip, Problem
    from farm.sim.faults import Faults
    from farm.sim.figures import Figures
    from farm.sim.fleet import FleetPlan
    from farm.sim.outcome import Outcome, Submission

MORE_CARDS = 10
ONE_DAY = 86_400.0

Cards = Annotated[str, typer.Option("--cards", metavar="NxTYPE,…", help="62xrtx-4060-ti,1xh100")]
Batches = Annotated[
    list[str],
    typer.Option(
        "--batch",
        metavar="FILE[,project=P][,priority=N][,at=HH:MM]",
        help="As for `farm submit`; may be repeated.",
    ),
]
Failures = Annotated[
    str, typer.Option(metavar="NAME=RATE,…", help="card-death=0.02/h,node=0.1%; see the docs.")
]
Seed = Annotated[int, typer.Option(help="The same seed gives the same simulation.")]
By = Annotated[
    str,
    typer.Option(metavar="HH:MM", help="How few cards of the first type would be done by then."),
]
Start = Annotated[str, typer.Option(metavar="HH:MM", help="When it begins. [default: now]")]
Variant = Annotated[str, typer.Option("--model", help="distilled, mid or base.")]
Speeds = Annotated[
    list[str] | None,
    typer.Option(
        "--speed",
        metavar="TYPE=FPS",
        help="As measured, with Helios-Distilled, 640x384, steps 1,1,1.",
    ),
]
KwhPrice = Annotated[float, typer.Option(min=0.0, help="Of electricity.")]
Gantt = Annotated[
    Path | None, typer.Option(metavar="FILE.png|.svg", help="Draw what every card rendered.")
]


@command
def simulate(
    cards: Cards,
    batch: Batches,
    column_map: Map = None,
    set_fields: Set = None,
    failures: Failures = "",
    seed: Seed = 1,
    by: By = "",
    start: Start = "",
    model: Variant = "distilled",
    speed: Speeds = None,
    bench: Bench = None,
    kwh_price: KwhPrice = 0.30,
    gantt: Gantt = None,
    as_json: Json = False,
) -> int:
    """Render batches on a simulated fleet: the farm's own coordinator, on a virtual clock.

    Says when the last clip would be done, what it would cost, and what ten more cards would
    change; with --by, how few cards would do. Nothing is rendered, and no farm has to run.
    Cards' speeds are estimated until you give those that you measured, or what
    `farm-node bench` did.
    """
    from farm.sim.faults import parse_faults
    from farm.sim.fleet import parse_cards
    from farm.sim.gantt import ENDINGS

    if gantt is not None and gantt.suffix.lower() not in ENDINGS:
        raise typer.BadParameter(f"{gantt}: use {' or '.join(ENDINGS)}", param_hint="--gantt")
    calibrations = read_calibrations(bench or [])
    fleet = parse_cards(cards, _speeds(speed or []), model, calibrations)
    faults = parse_faults(failures)
    begin = _begin(start)
    specs = [_batch_spec(text, begin) for text in batch]
    mapping, fixed = pairs("--map", column_map or []), pairs("--set", set_fields or [])
    submissions: list[Submission] = []
    for spec in specs:
        clips, problems = _clips(spec.file, model, mapping, fixed)
        if problems:
            return _refused(spec.file, problems, as_json=as_json)
        submissions.append(spec.submission(clips))
    runs = _Runs(submissions, faults, seed, begin, kwh_price)
    if by:
        return _fewest(runs, fleet, _clock_time(by, begin, "--by"), as_json=as_json)
    outcome, found = runs.run(fleet)
    if gantt is not None:
        from farm.sim.gantt import draw

        draw(outcome, gantt, _title(fleet, found))
    more = runs.run(fleet.with_first(fleet.cards[0][0] + MORE_CARDS))[1]
    _print(found, more, fleet, begin, as_json=as_json)
    return output.OK if found.finished else output.FAILED


@dataclass(frozen=True, slots=True)
class _BatchSpec:
    file: Path
    project: str
    priority: int
    at: float

    def submission(self, clips: Sequence[NewClip]) -> Submission:
        from farm.sim.outcome import Submission

        return Submission(
            name=self.file.name, clips=clips, project=self.project, priority=self.priority,
            at=self.at,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Runs:
    """Simulations of the same batches on one fleet after the other."""

    submissions: Sequence[Submission]
    faults: Faults
    seed: int
    begin: datetime
    kwh_price: float

    def run(
        self, fleet: FleetPlan, *, seconds_max: float = 365 * ONE_DAY
    ) -> tuple[Outcome, Figures]:
        from farm.cli.simulate_view import progress
        from farm.sim.figures import figures
        from farm.sim.ledger import simulated_ledger
        from farm.sim.simulation import Simulation

        with simulated_ledger() as ledger, progress(fleet.count) as show:
            outcome = Simulation(
                fleet=fleet,
                submissions=self.submissions,
                ledger=ledger,
                seed=self.seed,
                faults=self.faults,
                wall_start=self.begin.timestamp(),
                seconds_max=seconds_max,
                attended=False,
                on_progress=show,
            ).run()
        if outcome.stuck:
            output.note(f"farm: it stopped there: {outcome.stuck}")
        for problem in outcome.problems:
            output.note(f"farm: the simulated ledger is wrong, please report it: {problem}")
        return outcome, figures(fleet, outcome, kwh_price=self.kwh_price)


def _fewest(runs: _Runs, fleet: FleetPlan, seconds: float, *, as_json: bool) -> int:
    """Print the fewest cards of the first type that are done in time."""
    from farm.sim.figures import CARDS_TRIED_MAX, fewest_cards

    name, done = fleet.cards[0][1].name, (runs.begin + timedelta(seconds=seconds))
    tried: dict[int, Figures] = {}

    def would_do(number: int) -> bool:
        found = runs.run(fleet.with_first(number), seconds_max=seconds)[1]
        tried[number] = found
        return found.finished and found.seconds <= seconds

    number = fewest_cards(would_do, fleet.cards[0][0])
    if as_json:
        output.print_json(
            {
                "by": done.isoformat(timespec="minutes"),
                "card_type": name,
                "cards": number,
                "figures": asdict(tried[number]) if number else None,
            }
        )
    elif number is None:
        output.say(f"not even {CARDS_TRIED_MAX:,} {name} would be done by {done:%a %H:%M}")
    else:
        found = tried[number]
        output.say(
            f"{number} {name} would be done at {_when(runs.begin, found.seconds)}, "
            f"in time for {done:%a %H:%M} ({found.speeds} speeds)"
        )
    return output.OK if number else output.FAILED


def _print(
    found: Figures, more: Figures, fleet: FleetPlan, begin: datetime, *, as_json: bool
) -> None:
    if as_json:
        output.print_json(
            {
                "start": begin.isoformat(timespec="minutes"),
                "figures": asdict(found),
                f"with_{MORE_CARDS}_more": asdict(more),
            }
        )
        return
    states = ", ".join(f"{n:,} {state}" for state, n in found.clips.items())
    lines = [
        ("finished", _when(begin, found.seconds) if found.finished else "not within a year"),
        ("clips", states),
        ("utilisation", f"{found.utilisation:.1%}, idle while clips waited {found.idle_share:.1%}"),
        ("energy", f"{found.kwh:,.1f} kWh of the cards, {found.electricity:,.2f} for electricity"),
        ("cards", f"{_fleet_text(fleet)}: {found.price:,.0f} USD new"),
        ("deaths", f"{found.deaths}, yields {found.yields}"),
        (f"{MORE_CARDS} more", _more_text(found, more)),
    ]
    for name, text in lines:
        output.say(f"{name:>12}  {text}")
    output.say(f"{'speeds':>12}  {_speeds_text(fleet, found)}")


def _more_text(found: Figures, more: Figures) -> str:
    if not (found.finished and more.finished):
        return "no end within a year"
    saved = found.seconds - more.seconds
    return (
        f"done {_duration(abs(saved))} {'earlier' if saved >= 0 else 'later'}, utilisation "
        f"{more.utilisation:.1%}, {more.electricity - found.electricity:+,.2f} for electricity"
    )


def _speeds_text(fleet: FleetPlan, found: Figures) -> str:
    if found.speeds == "measured":
        return "measured, as given by --speed"
    each = ", ".join(
        f"{card.name} {card.speed.frames_per_second:.3g} FPS ({card.speed.basis})"
        for _, card in fleet.cards
    )
    return f"{found.speeds}: {each}; give your own with --speed or --bench"


def _title(fleet: FleetPlan, found: Figures) -> str:
    return (
        f"{_fleet_text(fleet)}: {_duration(found.seconds)}, utilisation "
        f"{found.utilisation:.1%} ({found.speeds} speeds)"
    )


def _fleet_text(fleet: FleetPlan) -> str:
    return ", ".join(f"{number} {card.name}" for number, card in fleet.cards)


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min" if minutes else f"{seconds:.0f} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def _when(begin: datetime, seconds: float) -> str:
    return f"{begin + timedelta(seconds=seconds):%a %H:%M}, after {_duration(seconds)}"


def _begin(text: str) -> datetime:
    """The minute in which the simulation begins, in local time."""
    today = datetime.now().astimezone().replace(second=0, microsecond=0)
    if not text:
        return today
    hour, minute = _hour_minute(text, "--start")
    return today.replace(hour=hour, minute=minute)


def _clock_time(text: str, begin: datetime, option: str) -> float:
    """Seconds from `begin` to the next such time."""
    hour, minute = _hour_minute(text, option)
    seconds = (begin.replace(hour=hour, minute=minute) - begin).total_seconds()
    return seconds if seconds > 0 else seconds + ONE_DAY


def _hour_minute(text: str, option: str) -> tuple[int, int]:
    match = re.fullmatch(r"([01]?[0-9]|2[0-3]):([0-5][0-9])", text.strip())
    if match is None:
        raise typer.BadParameter(f"{text!r}: write a time as 09:00", param_hint=option)
    return int(match[1]), int(match[2])


def _speeds(texts: Sequence[str]) -> dict[str, float]:
    found = {}
    for name, text in pairs("--speed", texts).items():
        try:
            found[name.lower()] = float(text)
        except ValueError:
            raise typer.BadParameter(
                f"{name}={text}: write frames per second, as in {name}=2.6", param_hint="--speed"
            ) from None
    return found


def _batch_spec(text: str, begin: datetime) -> _BatchSpec:
    """`FILE,project=a,priority=5,at=02:00`; a comma in a file's name stays its own."""
    file, options = text, {}
    while match := re.fullmatch(r"(.*),(project|priority|at)=([^,=]*)", file):
        file, name, value = match[1], match[2], match[3]
        if name in options:
            raise typer.BadParameter(f"{text}: {name} is given twice", param_hint="--batch")
        options[name] = value
    priority = options.get("priority", "0")
    if not re.fullmatch(r"-?[0-9]{1,4}", priority):
        raise typer.BadParameter(f"{text}: priority is a whole number", param_hint="--batch")
    at = _clock_time(options["at"], begin, "--batch") if "at" in options else 0.0
    return _BatchSpec(Path(file), options.get("project") or "default", int(priority), at)


def _clips(
    file: Path, variant: str, mapping: Mapping[str, str], fixed: Mapping[str, str]
) -> tuple[list[NewClip], list[Problem]]:
    """The file's clips, checked as a farm with this model does it; or what is wrong with it."""
    from farm.client.local_check import checker_of, clips_of
    from farm.client.prepare import prepare
    from farm.client.submission import SubmitOptions
    from farm.domain.quality import STAGES, presets
    from farm.domain.rows import Limits

    options = SubmitOptions(
        name=file.name, column_map=mapping, set_fields=fixed, request_id="", dry_run=True
    )
    prepared = prepare(file, options, datetime.now(UTC))
    if prepared.problems or prepared.source is None:
        return [], prepared.problems
    stages = STAGES[variant]
    checker = checker_of(prepared, Limits(stages=stages, presets=presets(variant, stages)))
    return list(clips_of(checker, prepared.source.rows())), checker.problems


def _refused(file: Path, problems: Sequence[Problem], *, as_json: bool) -> int:
    for problem in problems:
        output.note(output.problem_line(str(file), problem))
    output.note(f"farm: {plural(len(problems), 'problem')}, nothing was simulated")
    if as_json:
        values: list[dict[str, Any]] = output.problem_values(str(file), problems)
        output.print_json(values)
    return output.REFUSED
