"""`farm-node extend`, `branch` and `redecode`: what a film's reel is kept for."""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from node_agent.cli import parse
from node_agent.cli.options import MODELS, Compile, Json, ModelsDir, Pageable, Ram, Vram
from node_agent.cli.render import Blend, Fresh, Out, Vae
from node_agent.cli.rendering import Asked, Machine, check_model, facts, finish, follow, take_up
from node_agent.models import describe, load_manifest
from node_agent.reel.codecs import CodecName
from node_agent.reel.operations import all_again, branched, extended
from node_agent.reel.reel import LOG_NAME, Record, Reel, ReelError, reel_of
from node_agent.render.helios.recipe import recipe_for
from node_agent.render.profiles import EXACT, PROFILES
from node_agent.render.renderer import BLEND_CHUNKS, PromptError

Film = Annotated[Path, typer.Argument(help="A film with its reel beside it.", show_default=False)]
Model = Annotated[Path | None, typer.Option(help="Where the model is now.")]
Device = Annotated[str, typer.Option(help="cpu, or cuda:N.", show_default="the reel's")]
Threads = Annotated[
    int | None, typer.Option(min=1, help="CPU threads for arithmetic.", show_default="the reel's")
]
Prompt = Annotated[str | None, typer.Option(help="What is to be seen from there on.")]


def extend(
    film: Film,
    out: Out,
    frames: Annotated[int, typer.Option(min=1, help="Frames of the longer film, in all.")],
    prompt: Prompt = None,
    blend_chunks: Blend = BLEND_CHUNKS,
    model: Model = None,
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
    """Make a film longer, from its last whole chunk on.

    Without a new prompt it is the film that had been asked for at that length, to the last bit.
    """
    source, target = _opened(film), parse.film(out)
    record = _placed(source.record, model, device, threads)
    try:
        longer = extended(record, target.stem, frames, prompt=prompt, blend_chunks=blend_chunks)
    except ReelError as error:
        raise Asked(f"{film}: {error}") from error
    machine = Machine(vram, ram, pageable, compiled)
    _go_on(
        source, target, longer, models_dir=models_dir, fresh=fresh, as_json=as_json, machine=machine
    )


def branch(
    film: Film,
    out: Out,
    from_chunk: Annotated[int, typer.Option(help="The first chunk that is the branch's own.")],
    prompt: Prompt = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of its own random numbers.", show_default="goes on")
    ] = None,
    blend_chunks: Blend = BLEND_CHUNKS,
    model: Model = None,
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
    """Let a film take another course from a chunk on; those before it are shared."""
    source, target = _opened(film), parse.film(out)
    record = _placed(source.record, model, device, threads)
    try:
        other = branched(
            record, target.stem, from_chunk, prompt=prompt, seed=seed, blend_chunks=blend_chunks
        )
    except ReelError as error:
        raise Asked(f"{film}: {error}") from error
    machine = Machine(vram, ram, pageable, compiled)
    _go_on(
        source, target, other, models_dir=models_dir, fresh=fresh, as_json=as_json, machine=machine
    )


def redecode(
    film: Film,
    out: Annotated[Path, typer.Option(help="An .mp4, .mov or .mkv.", show_default=False)],
    codec: Annotated[
        CodecName | None,
        typer.Option(show_default="h264 in .mp4, prores in .mov, ffv1 (lossless) in .mkv"),
    ] = None,
    crf: Annotated[
        int | None, typer.Option(help="Constant quality, lower is better; h264, h265 and av1.")
    ] = None,
    vae: Annotated[Vae | None, typer.Option(show_default="the film's")] = None,
    model: Model = None,
    device: Device = "",
    threads: Threads = None,
    vram: Vram = None,
    ram: Ram = None,
    pageable: Pageable = False,
    compiled: Compile = None,
    models_dir: ModelsDir = MODELS,
    fresh: Annotated[bool, typer.Option("--fresh", help="Replace the file that is there.")] = False,
    as_json: Json = False,
) -> None:
    """Decode a film again from its negatives, into another encoding."""
    from node_agent.reel.output import Output, OutputError, codec_for  # PyAV: where it is needed
    from node_agent.reel.take import write_sidecar

    source, target, began = _opened(film), out.absolute(), time.monotonic()
    try:
        chosen = codec_for(target, codec, crf)
    except OutputError as error:
        raise Asked(str(error)) from error
    if target == film.absolute() or (target.exists() and not fresh):
        raise Asked(f"{target} is there; choose another --out")
    record = _placed(source.record, model, device, threads)
    if vae is not None:
        recipe = record.recipe | {"vae": vae.value}
        record = replace(record, spec=replace(record.spec, vae=vae.value), recipe=recipe)
    with (
        source.held(),
        tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as pieces,
    ):
        source.check_files()
        start = all_again(record, source.folder, Path(pieces))
        with Output(target, chosen, fps=record.fps, crf=crf, folder=Path(pieces)) as output:
            placed = Reel(source.folder, record)
            log = source.folder / LOG_NAME
            machine = Machine(vram, ram, pageable, compiled)
            follow(
                [(placed, start)],
                log,
                title=start.spec.clip_id,
                models_dir=models_dir,
                keep=output.add,
                machine=machine,
            )
        take = output.take()
    sidecar = target.with_name(f"{target.name}.json")
    write_sidecar(record, take, sidecar, encoder=output.encoder_id)
    facts(record, take, source.folder, time.monotonic() - began, as_json=as_json)


def _opened(film: Path) -> Reel:
    return Reel.open(reel_of(film.absolute()))


def _placed(record: Record, model: Path | None, device: str, threads: int | None) -> Record:
    """The record for this machine. Raises `ReelError` for another model, `ModelError`."""
    found = replace(
        record,
        model=str(model.absolute()) if model else record.model,
        device=parse.device(device) if device else record.device,
        threads=threads or record.threads,
    )
    check_model(found, load_manifest(Path(found.model)).digest)
    return found


def _go_on(
    source: Reel,
    film: Path,
    record: Record,
    *,
    models_dir: Path,
    fresh: bool,
    as_json: bool,
    machine: Machine,
) -> None:
    if reel_of(film) == source.folder:
        raise Asked(f"{film} is the film itself; choose another --out")
    try:
        recipe = recipe_for(
            record.spec,
            describe(Path(record.model)),
            on_gpu=record.device != "cpu",
            profile=PROFILES.get(record.spec.profile, EXACT),
        )
    except PromptError as error:
        raise Asked(f"{record.spec.clip_id}: {error}") from error
    placed = replace(record, recipe=json.loads(json.dumps(recipe.record())))
    reel = take_up(film, placed, fresh=fresh, source=source.folder)
    finish(reel, film, models_dir=models_dir, as_json=as_json, machine=machine)
