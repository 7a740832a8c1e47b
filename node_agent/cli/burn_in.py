"""`farm-node burn-in`: renders for hours, and says whether a card can be trusted."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from node_agent.burnin import FOLDER
from node_agent.cli.options import MODELS, ModelsDir, Profile, stamps

if TYPE_CHECKING:
    from node_agent.burnin.golden import Reference
    from node_agent.burnin.judge import Limits, Tally
    from node_agent.burnin.real import Blind, HeliosLoad, Sampler
    from node_agent.burnin.record import About
    from node_agent.doctor.finding import Finding
    from node_agent.telemetry import Identity


def burn_in(
    model: Annotated[
        Path, typer.Option(metavar="DIR", help="The model to render with.", show_default=False)
    ],
    hours: Annotated[float, typer.Option(min=0.001, help="In all, over resumed runs.")] = 24.0,
    device: Annotated[str, typer.Option(help="cuda:N or cpu.")] = "cuda:0",
    size: Annotated[str, typer.Option(help="Of the golden chunk, pixels.")] = "640x384",
    reference: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Golden chunk to compare with.")
    ] = None,
    make_reference: Annotated[
        bool, typer.Option("--make-reference", help="Render the golden chunk, keep it, and end.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an earlier run's hours.")
    ] = False,
    record: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where the JSON record goes.")
    ] = None,
    limit: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Another limit; repeatable.")
    ] = None,
    seconds_between_samples: Annotated[float, typer.Option(min=0.05)] = 1.0,
    profile: Profile = None,
    models_dir: ModelsDir = MODELS,
) -> None:
    """Render the golden chunk for hours and watch the card; exit code 1 when it fails."""
    from node_agent.burnin.golden import file_name
    from node_agent.burnin.real import HeliosLoad

    width, height = _size(size)
    limits = _limits(limit or [])
    load = HeliosLoad(model.expanduser(), device, stamps(models_dir), width, height, profile)
    kept = (reference or FOLDER / file_name(load.origin)).expanduser()
    golden = _reference(load, kept, make=make_reference)
    if make_reference:
        return
    card, watch = _card(device, seconds_between_samples)
    about = _about(card, device, load, limits, hours)
    path = (record or FOLDER / f"{about.card.replace(':', '-')}.json").expanduser()
    _run(load, golden, watch, about, path, resume=resume)


def _run(
    load: HeliosLoad,
    golden: Reference,
    watch: Sampler | Blind,
    about: About,
    path: Path,
    *,
    resume: bool,
) -> None:
    """Burn in, keep the record at `path`, and leave with the verdict's exit code."""
    from node_agent.burnin import record
    from node_agent.burnin.judge import Tally, judge
    from node_agent.burnin.loop import BurnIn
    from node_agent.burnin.stall import StallWatch

    tally = record.resume(path, about) if resume else Tally()
    recorder = record.Recorder(path, about, time.monotonic)

    def told(tally: Tally, findings: Sequence[Finding]) -> None:
        stall.beat()
        recorder.note(tally, findings)

    def hung(silent: float) -> None:
        """The process is stuck in the driver: what is known is kept, and it ends."""
        tally.failure = f"no chunk for {silent:.0f} s: the card hangs"
        recorder.write(tally, judge(tally, about.limits))
        typer.echo(f"failed: {tally.failure}; record: {path}", err=True)
        os._exit(1)

    stall = StallWatch(hung)
    work = BurnIn(
        load=load,
        watch=watch,
        reference=golden,
        stack_id=load.origin.stack_id,
        limits=about.limits,
        clock=time.monotonic,
        timed=about.card != "cpu",
        tell=told,
    )
    try:
        with _shown(tally, about, watch):
            stall.start()
            work.run(tally, about.hours * 3600)
    except KeyboardInterrupt:
        typer.echo("interrupted: --resume goes on", err=True)
    finally:
        stall.close()
        findings = judge(tally, about.limits)
        recorder.write(tally, findings)
    verdict = record.passed(tally, findings, about.hours)
    words = {True: "passed", False: "failed", None: "not over yet"}
    typer.echo(f"{words[verdict]}; record: {path}")
    if verdict is not True:
        raise typer.Exit(130 if verdict is None else 1)


def _about(
    card: Identity | None, device: str, load: HeliosLoad, limits: Limits, hours: float
) -> About:
    from node_agent.burnin.record import About

    return About(
        card=card.uuid if card else device,
        name=(card.name if card else None) or platform.machine(),
        hostname=platform.node(),
        origin=load.origin,
        limits=limits,
        hours=hours,
    )


def _limits(given: Sequence[str]) -> Limits:
    """Limits with what the command line says in their place."""
    from node_agent.burnin.judge import Limits

    names = [each.name for each in fields(Limits)]
    changes: dict[str, float] = {}
    for text in given:
        name, _, value = text.partition("=")
        try:
            changes[name] = float(value)
        except ValueError:
            raise typer.BadParameter(f"{text}: write NAME=NUMBER", param_hint="--limit") from None
        if name not in names:
            known = ", ".join(names)
            raise typer.BadParameter(f"{name}: there are {known}", param_hint="--limit")
    return replace(Limits(), **changes)


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise typer.BadParameter(f"{text}: write WIDTHxHEIGHT, as 640x384", param_hint="--size")
    return int(width), int(height)


def _reference(load: HeliosLoad, path: Path, *, make: bool) -> Reference:
    """The golden chunk at `path`; where there is none, what this card renders first."""
    from node_agent.burnin import golden
    from node_agent.burnin.errors import BurnInError
    from node_agent.render.renderer import PromptError

    found = None if make else golden.load(path, load.origin)
    if found is None:
        try:
            found = golden.Reference(load().frames, load.origin)
        except PromptError as error:
            raise typer.BadParameter(str(error), param_hint="--size") from None
        except RuntimeError as error:
            raise BurnInError(f"the first chunk cannot be rendered: {error}") from error
        golden.save(path, found)
        typer.echo(f"golden chunk of {load.origin.stack_id} kept at {path}", err=True)
    return found


def _card(device: str, seconds: float) -> tuple[Identity | None, Sampler | Blind]:
    """The card, and what watches it."""
    from node_agent.burnin.real import Blind, Sampler, card_of
    from node_agent.telemetry import find_nvml

    nvml = find_nvml() if device.startswith("cuda") else None
    card = card_of(device, nvml)
    if nvml is None or card is None:
        return None, Blind()
    return card, Sampler(lambda: nvml.sample(card.index), seconds)


@contextmanager
def _shown(tally: Tally, about: About, watch: Sampler | Blind) -> Iterator[None]:
    """Progress on standard error: live on a terminal, once at the end anywhere else."""
    from rich.console import Console
    from rich.live import Live

    from node_agent.burnin.view import view

    with Live(
        get_renderable=lambda: view(tally, about.limits, about.hours, watch.latest),
        console=Console(stderr=True, highlight=False),
        refresh_per_second=1,
    ):
        yield
