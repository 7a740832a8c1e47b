"""What `render`, `extend`, `branch` and `redecode` share: a reel's chunks made, shown as they come.

Bars go to standard error, the result to standard output, what the render child says to a log.
"""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from node_agent.cli.options import stamps
from node_agent.cli.render_progress import progress_of
from node_agent.reel.operations import differences, remaining
from node_agent.reel.reel import LOG_NAME, RECORD_NAME, Record, Reel, ReelError, reel_of
from node_agent.render.messages import ChunkDone, Ready, Start
from node_agent.render.profiles import stack_for

if TYPE_CHECKING:
    from node_agent.encode import Take

INTERRUPTED = 130
"""What shells say of a command that Ctrl-C ended: 128 and the signal's number."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What rendering may take of this machine, and how: see `render.child.ChildOptions`."""

    vram_bytes: int | None
    ram_bytes: int | None
    pageable: bool
    compiled: bool | None


class Asked(typer.BadParameter):
    """What was asked for cannot be: the command ends with exit code 2."""


def take_up(film: Path, wanted: Record, *, fresh: bool, source: Path | None = None) -> Reel:
    """The reel of `film`: the one that is there, if it is of the same clip, else a new one.

    Either is rendered where `wanted` says. `source` is the reel that its files come from. Raises
    `Asked` when another clip's reel, or a film without one, is in the way.
    """
    folder = reel_of(film)
    if folder.is_dir() and any(folder.iterdir()):
        if not (folder / RECORD_NAME).is_file():
            raise Asked(f"{folder} is there and no reel; choose another --out")
        there = Reel.open(folder)
        holds_nothing = not there.record.chunks and not film.exists()
        if not fresh and not holds_nothing:
            if unlike := differences(there.record, wanted):
                raise Asked(
                    f"{folder} holds another clip: {'; '.join(unlike)}. Ask for the same, or"
                    " choose another --out, or start over with --fresh"
                )
            placed = replace(
                there.record, model=wanted.model, device=wanted.device, threads=wanted.threads
            )
            return Reel(folder, placed)
        with there.held():
            there.remove()
    elif film.exists() and not fresh:
        raise Asked(f"{film} is there and has no reel; choose another --out, or --fresh")
    return Reel.create(folder, wanted, source)


def finish(reel: Reel, film: Path, *, models_dir: Path, as_json: bool, machine: Machine) -> None:
    """Make what is left of the clip, then the film and its sidecar, and say so."""
    from node_agent.reel.take import make_take  # PyAV: only where it is needed

    began = time.monotonic()
    with reel.held():
        reel.check_files()
        start = remaining(reel.record, reel.folder)
        if start is not None:
            follow(
                [(reel, start)],
                reel.folder / LOG_NAME,
                title=start.spec.clip_id,
                models_dir=models_dir,
                machine=machine,
            )
        take = make_take(reel, film)
    facts(reel.record, take, reel.folder, time.monotonic() - began, as_json=as_json)


def follow(
    work: Sequence[tuple[Reel, Start]],
    log: Path,
    *,
    title: str,
    models_dir: Path,
    machine: Machine,
    keep: Callable[[ChunkDone], None] | None = None,
) -> None:
    """Let a render child do each reel's `Start` and show the chunks; `keep` takes them, by default
    the reels. All are rendered with one model and device.

    `models_dir` has the LoRAs, and what is known of models' hashes and of encoded prompts. Raises
    `RenderFailed`, OSError; ends the command when Ctrl-C is pressed.
    """
    from node_agent.reel.run import run  # with the driver's binding: only where it is needed
    from node_agent.render.child import ChildOptions

    reels, starts = [reel for reel, _ in work], [start for _, start in work]
    of_clip = {reel.record.spec.clip_id: reel for reel in reels}
    record, stacks = reels[0].record, dict[str, str]()
    chunks = sum(len(s.redecode) + s.spec.chunks - s.resume_chunk for s in starts)
    options = ChildOptions(
        renderer=record.renderer,
        model=Path(record.model) if record.model else None,
        device=record.device,
        threads=record.threads,
        stamps=stamps(models_dir),
        loras=models_dir.expanduser(),
        vram_bytes=machine.vram_bytes,
        ram_bytes=machine.ram_bytes,
        pageable=machine.pageable,
        compiled=machine.compiled,
    )
    with progress_of(title, chunks) as progress:

        def ready(report: Ready) -> None:
            loaded = report.profiles[0]
            stacks.update({p: stack_for(report.stack_id, loaded, p) for p in report.profiles})
            for reel in reels:
                check_model(reel.record, report.model_digest)
            progress.begin()
            last = (chunk for reel in reels for chunk in reel.record.chunks[-1:])
            now = {chunk.stack_id: stacks.get(chunk.profile, report.stack_id) for chunk in last}
            for before, stack in now.items():
                if before != stack:
                    progress.say(
                        "the stack is not the one that rendered the chunks before: what comes now"
                        f" is close to them, not bit-equal ({before}; now {stack})"
                    )

        def taken(done: ChunkDone) -> None:
            if keep is None:
                of_clip[done.clip_id].add(done, stacks[done.profile])
            else:
                keep(done)
            progress.chunk(done)

        try:
            asyncio.run(run(options, starts, log, ready=ready, record=taken))
        except KeyboardInterrupt:
            progress.close()
            kept = sum(len(reel.record.chunks) for reel in reels)
            of_all = f"{kept} of {sum(start.spec.chunks for start in starts)} chunks are kept"
            typer.echo(f"{title}: stopped; {of_all}. To go on: {command_line()}", err=True)
            raise typer.Exit(INTERRUPTED) from None


def check_model(record: Record, digest: str) -> None:
    """Raise `ReelError` for another model than the reel's."""
    if digest != record.model_digest:
        raise ReelError(
            f"{record.spec.clip_id}: the model in {record.model} has digest {digest[:12]}, the"
            f" reel was rendered with {record.model_digest[:12]}; name that one with --model"
        )


def facts(record: Record, take: Take, reel: Path, wall: float, *, as_json: bool) -> None:
    """One line, or JSON."""
    spec, seconds = record.spec, sum(chunk.seconds for chunk in record.chunks)
    if as_json:
        about = asdict(take) | {"path": str(take.path), "reel": str(reel)}
        about |= {"chunks": spec.chunks, "width": spec.width, "height": spec.height}
        about |= {"fps": record.fps, "render_seconds": seconds, "wall_seconds": wall}
        typer.echo(json.dumps(about, ensure_ascii=False, sort_keys=True))
        return
    rate = f"{spec.frames / seconds:.2f} frames/s" if seconds else "no time measured"
    typer.echo(
        f"{take.path}: {take.frames} frames, {spec.width}x{spec.height}, {record.fps} fps,"
        f" {take.frames / record.fps:.1f} s, {spec.chunks} chunks in {seconds:.1f} s ({rate}),"
        f" {take.size / 1e6:.2f} MB, sha256 {take.sha256[:12]}"
    )


def command_line() -> str:
    """The command as it was typed, without --fresh."""
    typed = [each for each in sys.argv[1:] if each != "--fresh"]
    return shlex.join(["farm-node", *typed])
