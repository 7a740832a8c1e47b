"""`farm-node render`: one clip on this machine, without a farm, over the farm's own way."""

from __future__ import annotations

import json
import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from node_agent.cli import parse
from node_agent.cli.options import MODELS, Compile, Json, ModelsDir, Pageable, Profile, Ram, Vram
from node_agent.cli.rendering import Asked, Machine, finish, take_up
from node_agent.files import sha256_of_file
from node_agent.models import describe, load_manifest
from node_agent.reel.presets import help_text
from node_agent.reel.reel import RECORD_NAME, Record, Reel, reel_of
from node_agent.render.helios.recipe import recipe_for
from node_agent.render.profiles import EXACT, PROFILES
from node_agent.render.renderer import BLEND_CHUNKS, PromptError, RenderSpec

HELP = f"""Render one clip, without a farm.

The clip's chunks stay in a reel beside the film (fox.mp4 has fox.reel): the same command goes on
where it was stopped, and extend, branch and redecode start from it. What the qualities mean:

\b
{help_text()}
"""


class Quality(StrEnum):
    """`renderer.QUALITIES`."""

    DRAFT = "draft"
    STANDARD = "standard"
    EXACT = "exact"


class Vae(StrEnum):
    """`recipe.VAES`."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    TILED = "bfloat16-tiled"
    TINY = "tiny"


Model = Annotated[Path, typer.Option(help="Directory of the model.", show_default=False)]
Out = Annotated[Path, typer.Option(help="The film, an .mp4.", show_default=False)]
Blend = Annotated[int, typer.Option(min=1, help="Chunks over which a new prompt takes over.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Start over: drop the reel that is there.")]
Threads = Annotated[
    int | None,
    typer.Option(min=1, help="CPU threads for arithmetic.", show_default="the reel's, or all"),
]
Device = Annotated[
    str, typer.Option(help="cpu, or cuda:N.", show_default="cuda:0 if there is one, else cpu")
]
_File = typer.Option(exists=True, dir_okay=False, help="Start from it; see docs/rendering.md.")


def render(
    prompt: Annotated[str, typer.Argument(help="What is to be seen.", show_default=False)],
    model: Model,
    out: Out,
    frames: Annotated[int, typer.Option(min=1, help="Frames of the film.")] = 120,
    size: Annotated[str, typer.Option(help="WIDTHxHEIGHT.")] = "640x384",
    fps: Annotated[int, typer.Option(min=1, max=120, help="Frames per second.")] = 24,
    seed: Annotated[int, typer.Option(min=0, help="Of the random numbers.")] = 0,
    steps: Annotated[
        str, typer.Option(help="Per stage, as 2,2,2.", show_default="the quality's")
    ] = "",
    quality: Annotated[Quality, typer.Option(help="See above.")] = Quality.STANDARD,
    vae: Annotated[
        Vae | None, typer.Option(help="What decodes.", show_default="the quality's and the card's")
    ] = None,
    negative_prompt: Annotated[str, typer.Option(help="What guidance leads away from.")] = "",
    guidance_scale: Annotated[
        float | None, typer.Option(min=0, max=100, show_default="the model's")
    ] = None,
    image: Annotated[Path | None, _File] = None,
    video: Annotated[Path | None, _File] = None,
    schedule: Annotated[
        list[str] | None,
        typer.Option(help="MARK: PROMPT, from a chunk (4) or a time (5s) on; again and again."),
    ] = None,
    blend_chunks: Blend = BLEND_CHUNKS,
    lora: Annotated[list[str] | None, typer.Option(help="NAME:0.8; again and again.")] = None,
    models_dir: ModelsDir = MODELS,
    skip_first_chunk: Annotated[
        bool, typer.Option("--skip-first-chunk", help="The anchor is chunk 1's first frame.")
    ] = False,
    device: Device = "",
    threads: Threads = None,
    vram: Vram = None,
    ram: Ram = None,
    pageable: Pageable = False,
    compiled: Compile = None,
    profile: Profile = None,
    fresh: Fresh = False,
    as_json: Json = False,
) -> None:
    """See `HELP`."""
    film = parse.film(out)
    width, height = parse.size(size)
    spec = RenderSpec(
        clip_id=film.stem,
        name=film.stem,
        prompt=prompt,
        negative_prompt=negative_prompt,
        frames=frames,
        height=height,
        width=width,
        seed=seed,
        steps=parse.steps(steps),
        guidance_scale=guidance_scale,
        quality=quality.value,
        profile=profile or "",
        vae=vae.value if vae else "",
        schedule=parse.schedule(schedule or (), fps, blend_chunks),
        image=str(image.absolute()) if image else "",
        video=str(video.absolute()) if video else "",
        skip_first_chunk=skip_first_chunk,
        loras=parse.loras(lora or ()),
    )
    threads = threads or threads_of(film)
    wanted = record_of(spec, fps, model.absolute(), parse.device(device), threads)
    reel = take_up(film, wanted, fresh=fresh)
    machine = Machine(vram, ram, pageable, compiled)
    finish(reel, film, models_dir=models_dir, as_json=as_json, machine=machine)


def threads_of(film: Path) -> int:
    """As many as its reel was begun with, or all."""
    if (reel_of(film) / RECORD_NAME).is_file():
        return Reel.open(reel_of(film)).record.threads
    return len(os.sched_getaffinity(0))


def record_of(spec: RenderSpec, fps: int, model: Path, device: str, threads: int) -> Record:
    """The record of a reel without chunks. Raises `Asked`, `ModelError`, OSError."""
    info, manifest = describe(model), load_manifest(model)
    try:
        arithmetic = PROFILES.get(spec.profile, EXACT)
        recipe = recipe_for(spec, info, on_gpu=device != "cpu", profile=arithmetic)
    except PromptError as error:
        raise Asked(f"{spec.clip_id}: {error}") from error
    inputs = {"image": spec.image, "video": spec.video}
    return Record(
        spec=spec,
        fps=fps,
        model=str(model),
        model_digest=manifest.digest,
        recipe=json.loads(json.dumps(recipe.record())),  # as it will be read back
        inputs={kind: sha256_of_file(Path(path)) for kind, path in inputs.items() if path},
        device=device,
        threads=threads,
    )
