"""`farm steer`."""

from __future__ import annotations

from typing import Annotated

import typer

from farm.cli import output, words
from farm.cli.options import (
    BatchArgument,
    Ca,
    ConfigFile,
    DataDir,
    Endpoint,
    Json,
    command,
    connect,
    settings,
)

Clips = Annotated[list[str], typer.Argument(metavar="CLIP...", help="Names or ids of clips.")]
Prompt = Annotated[str, typer.Option(help="What they follow from there on.")]
Chunk = Annotated[
    int, typer.Option(min=0, help="The first chunk that follows it; 0 is the next to be begun.")
]
Blend = Annotated[
    int,
    typer.Option(
        "--blend", min=0, metavar="CHUNKS", help="Take over within so many; 1 is at once, 0 usual."
    ),
]


@command
def steer(
    batch: BatchArgument,
    clips: Clips,
    prompt: Prompt,
    chunk: Chunk = 0,
    blend: Blend = 0,
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Give clips that have not ended another prompt, from their next chunk on."""
    with connect(settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir)) as farm:
        steered = farm.steer(batch, clips, prompt, chunk=chunk, blend_chunks=blend)
    if as_json:
        output.print_json({"clips": steered})
    else:
        where = f"chunk {chunk} on" if chunk else "the next chunk that is begun"
        output.say(f"{words.plural(steered, 'clip')}: another prompt from {where}")
    return output.OK
