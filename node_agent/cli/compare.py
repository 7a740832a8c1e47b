"""`farm-node compare`: what a profile loses, on the same seeds."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from node_agent.cli import parse
from node_agent.cli.options import MODELS, Compile, Json, ModelsDir, Pageable, Ram, Vram
from node_agent.cli.render import Device, Fresh, Model, Quality, record_of, threads_of
from node_agent.cli.render_progress import steps_of
from node_agent.cli.rendering import INTERRUPTED, Asked, Machine, command_line, follow, take_up
from node_agent.compare.clips import AskedClip, asked_clips, read_prompts
from node_agent.files import write_atomic
from node_agent.reel.operations import remaining
from node_agent.reel.reel import LOG_NAME, Record, Reel
from node_agent.render.profiles import PROFILES
from node_agent.render.renderer import CHUNK_FRAMES, RenderSpec

RECORD_NAME = "compare.json"

Threads = Annotated[
    int | None, typer.Option(min=1, help="CPU threads for arithmetic.", show_default="all")
]


def compare(
    model: Model,
    out: Annotated[Path, typer.Option(help="A folder for reels, films and compare.json.")],
    profiles: Annotated[str, typer.Option(help="Two, as exact,fast.")] = "exact,fast",
    prompt: Annotated[list[str] | None, typer.Option(help="Again and again.")] = None,
    prompts: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="A file, one on each line.")
    ] = None,
    seed: Annotated[list[int] | None, typer.Option(min=0, help="Again and again.")] = None,
    frames: Annotated[int, typer.Option(min=1, help="Of each clip.")] = 5 * CHUNK_FRAMES,
    size: Annotated[str, typer.Option(help="WIDTHxHEIGHT.")] = "640x384",
    fps: Annotated[int, typer.Option(min=1, max=120, help="Of the films.")] = 24,
    steps: Annotated[
        str, typer.Option(help="Per stage, as 2,2,2.", show_default="the quality's")
    ] = "",
    quality: Annotated[Quality, typer.Option(help="Of both.")] = Quality.STANDARD,
    device: Device = "",
    threads: Threads = None,
    vram: Vram = None,
    ram: Ram = None,
    pageable: Pageable = False,
    compiled: Compile = None,
    models_dir: ModelsDir = MODELS,
    fresh: Fresh = False,
    as_json: Json = False,
) -> None:
    """Render the same prompts and seeds with two profiles, and tell how like they are.

    PSNR, SSIM and drift of every chunk, in a table and in compare.json; a film of each clip shows
    both and what differs. What is rendered is kept: the same command goes on where it was stopped.
    """
    pair = _pair(profiles)
    clips = _clips(prompt, prompts, seed)
    width, height = parse.size(size)
    out, place, chosen = out.absolute(), parse.device(device), parse.steps(steps)

    def reel_for(profile: str, clip: AskedClip) -> Reel:
        film = out / profile / f"{clip.name}.mp4"
        spec = RenderSpec(
            clip_id=clip.name,
            name=clip.name,
            prompt=clip.prompt,
            frames=frames,
            height=height,
            width=width,
            seed=clip.seed,
            steps=chosen,
            quality=quality.value,
            profile=profile,
        )
        wanted = record_of(spec, fps, model.absolute(), place, threads or threads_of(film))
        return take_up(film, wanted, fresh=fresh)

    reels = {profile: [reel_for(profile, clip) for clip in clips] for profile in pair}
    machine = Machine(vram, ram, pageable, compiled)
    for profile in pair:
        _render(reels[profile], profile, out, models_dir, machine)
    _report(pair, clips, reels, out, as_json=as_json)


def _pair(text: str) -> tuple[str, str]:
    """Two names of `PROFILES`. Raises `Asked`."""
    names = [name.strip() for name in text.split(",")]
    known = ", ".join(PROFILES)
    if unknown := [name for name in names if name not in PROFILES]:
        raise Asked(f"--profiles: there is no profile {unknown[0]!r}; choose two of {known}")
    if len(names) != 2 or names[0] == names[1]:
        raise Asked(f"--profiles {text}: name two different ones of {known}, as exact,fast")
    return names[0], names[1]


def _clips(prompt: list[str] | None, file: Path | None, seeds: list[int] | None) -> list[AskedClip]:
    if (file is None) == (not prompt):
        raise Asked("name what is to be seen: either --prompt TEXT or --prompts FILE")
    try:
        texts = read_prompts(file) if file else [text.strip() for text in prompt or ()]
    except ValueError as error:
        raise Asked(str(error)) from error
    if not all(texts):
        raise Asked("--prompt: it is empty; say what is to be seen")
    return asked_clips(texts, seeds or [0])


def _render(reels: list[Reel], profile: str, out: Path, models_dir: Path, machine: Machine) -> None:
    """What is left of a profile's clips, lossless, by one render child."""
    with ExitStack() as held:
        work = []
        for reel in reels:
            held.enter_context(reel.held())
            reel.check_files()
            if (start := remaining(reel.record, reel.folder)) is not None:
                work.append((reel, replace(start, lossless=True)))
        if work:
            log = out / profile / LOG_NAME
            follow(work, log, title=profile, models_dir=models_dir, machine=machine)


def _report(
    pair: tuple[str, str],
    clips: list[AskedClip],
    reels: dict[str, list[Reel]],
    out: Path,
    *,
    as_json: bool,
) -> None:
    """Measure all clips, and say what came of it."""
    from node_agent.compare.pair import compare_reels  # PyAV: only where it is needed
    from node_agent.compare.report import record_of as report_of
    from node_agent.compare.report import tables

    found = []
    chunks = sum(reel.record.spec.chunks for reel in reels[pair[0]])
    try:
        with steps_of("comparing", chunks) as step:
            for clip, one, other in zip(clips, *reels.values(), strict=True):
                film = out / f"{clip.name}.mp4"
                found.append(compare_reels(one, other, pair, film, step))
    except KeyboardInterrupt:
        typer.echo(f"stopped; every chunk is rendered. To go on: {command_line()}", err=True)
        raise typer.Exit(INTERRUPTED) from None
    rendered: dict[str, list[Record]] = {
        profile: [reel.record for reel in of_it] for profile, of_it in reels.items()
    }
    at = datetime.now(UTC).isoformat(timespec="seconds")
    record = report_of(pair, clips, rendered, found, measured_at=at, command=command_line())
    content = json.dumps(record, ensure_ascii=False, indent=2)
    write_atomic(out / RECORD_NAME, f"{content}\n".encode())
    if as_json:
        typer.echo(content)
        return
    console = Console()
    for table in tables(record):
        console.print(table)
    typer.echo(f"{out / RECORD_NAME}; films: {out}/*.mp4")
