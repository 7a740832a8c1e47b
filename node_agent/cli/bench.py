"""`farm-node bench`: what a card can do, measured, as a table and as a record."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from node_agent.cli.options import MODELS, Compile, ModelsDir, Pageable, Profile, Ram, Vram
from node_agent.files import write_atomic
from node_agent.memory_size import compile_words, memory_words, profile_words

Record = dict[str, Any]


def bench(
    model: Annotated[Path | None, typer.Option(help="The model's directory.")] = None,
    random_weights: Annotated[
        bool, typer.Option("--random-weights", help="Full-size random weights: nothing to fetch.")
    ] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda:0, ...")] = "cpu",
    size: Annotated[str, typer.Option(help="WIDTHxHEIGHT.")] = "640x384",
    steps: Annotated[
        list[str] | None,
        typer.Option(help="Steps of each stage; may be given again. Default: 1,1,1 and 2,2,2."),
    ] = None,
    lanes: Annotated[
        str,
        typer.Option(
            help="Clips in lockstep, with commas between.",
            show_default="1,2; to tune 1,2,4,8",
        ),
    ] = "",
    tune: Annotated[
        bool,
        typer.Option("--tune", help="Find how many lanes are worth it; agents here take as many."),
    ] = False,
    models_dir: ModelsDir = MODELS,
    chunks: Annotated[int, typer.Option(help="Chunks that count, after one more.", min=2)] = 3,
    threads: Annotated[int, typer.Option(help="CPU threads for arithmetic.", min=1)] = 1,
    vram: Vram = None,
    ram: Ram = None,
    pageable: Pageable = False,
    compiled: Compile = None,
    profile: Profile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the record.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write the record to this file.")] = None,
) -> None:
    """Measure what a card can do with a model: seconds, bytes and, where it counts them, joules."""
    if (model is None) == (not random_weights):
        _refuse("name what to measure: either --model DIR or --random-weights")
    if tune and model is None:
        _refuse("--tune is for a model that is rendered with: --model DIR")
    lanes = lanes or ("1,2,4,8" if tune else "1,2")
    default_steps = ["2,2,2"] if tune else ["1,1,1", "2,2,2"]
    source = ["--model", str(model)] if model else ["--random-weights"]
    content = _measured(
        [
            *(*source, "--device", device, "--size", size, "--lanes", lanes),
            *(word for each in steps or default_steps for word in ("--steps", each)),
            *("--chunks", str(chunks), "--threads", str(threads)),
            *memory_words(vram, ram, pageable=pageable),
            *compile_words(compiled),
            *profile_words(profile),
            *(["--tune"] if tune else []),
        ]
    )
    if tune:
        from node_agent.lane_widths import WIDTHS_NAME, keep, width_of  # the driver's binding

        keep(models_dir.expanduser() / WIDTHS_NAME, width_of(json.loads(content)))
    if out is not None:
        write_atomic(out, content)
    if as_json:
        typer.echo(content, nl=False)
    else:
        print_record(json.loads(content), Console())


def _measured(arguments: list[str]) -> bytes:
    """The record, made in a process of its own: torch has no place in this one."""
    command = [sys.executable, "-m", "node_agent.render.bench", *arguments]
    process = subprocess.run(
        [*command, "--parent", str(os.getpid())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        check=False,
    )
    if process.returncode > 0:
        raise typer.Exit(process.returncode)  # it has said why
    if process.returncode < 0:
        typer.echo(f"the measuring process was killed by signal {-process.returncode}", err=True)
        raise typer.Exit(1)
    return process.stdout


def print_record(record: Record, console: Console) -> None:
    """What a person wants to see of a record."""
    card, model = record["card"], record["model"]
    where = f"{model['placement']}, {model['blocks_resident']} of {model['blocks']} blocks stay"
    console.print(f"{card['name']}, {model['name']}: {model['weights']}, {where}")
    table = Table(title=f"{record['width']}x{record['height']}, a chunk is 33 frames")
    columns = ("steps", "lanes", "s/chunk", "frames/s", "idle", "s/pass by stage")
    for heading in (*columns, "VRAM GB", "RAM GB", "J/chunk"):
        table.add_column(heading, justify="right")
    for case in record["cases"]:
        table.add_row(
            ",".join(map(str, case["steps"])),
            str(case["lanes"]),
            _spread(case["seconds_per_chunk"]),
            f"{case['frames_per_second']:.2f}",
            f"{case['idle_share']:.1%}",
            " ".join(f"{stage['seconds_per_pass']['median']:.3f}" for stage in case["stages"]),
            _gigabytes(case.get("bytes_vram_peak")),
            _gigabytes(case["bytes_rss_peak"]),
            _spread(case.get("joules_per_chunk")),
        )
    console.print(table)
    if "tuned" in record:
        console.print(f"lanes: {record['tuned']['lanes']}; {record['tuned']['why']}")
    for decode in record["decode"]:
        seconds = _spread(decode["seconds_per_chunk"])
        console.print(f"decode {decode['precision']}: {seconds} s/chunk")
    encode = record["encode"]
    console.print(
        f"encode: {_spread(encode['seconds_per_chunk'])} s/chunk,"
        f" {encode['bytes_per_chunk'] / 1e6:.2f} MB"
    )
    for name, rate in record.get("copy", {}).items():
        if name != "bytes_copied":
            way = name.removeprefix("bytes_per_second_").replace("_", " ")
            console.print(f"copy {way}: {rate['median'] / 1e9:.2f} GB/s")


def _spread(figure: Record | None) -> str:
    if figure is None:
        return "-"
    return f"{figure['median']:.3f} ({figure['min']:.3f} to {figure['max']:.3f})"


def _gigabytes(count: int | None) -> str:
    return "-" if count is None else f"{count / 1e9:.2f}"


def _refuse(text: str) -> None:
    typer.echo(text, err=True)
    raise typer.Exit(2)
