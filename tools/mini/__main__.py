"""`python -m tools.mini COMMAND`: train the mini model, export it, and see what it has learned."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import numpy as np
import torch

from node_agent.film import pictures
from node_agent.models import ModelError
from node_agent.models.mini import MINI

from .curves import curves
from .evaluate import KINDS, evaluate
from .export import export
from .judge import read_chunks
from .plan import PLANS
from .renders import How
from .seams import drift, seam_jump
from .sheet import sheet
from .stages import BESIDE, Clock, OutOfTime, UnfinishedTraining, start_from, train


def main() -> None:
    """Do what the command line says."""
    arguments = _parser().parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    torch.set_num_threads(arguments.threads)
    try:
        arguments.do(arguments)
    except (OSError, ValueError, ModelError, UnfinishedTraining) as error:
        sys.exit(f"python -m tools.mini: {error}")


def _train(arguments: argparse.Namespace) -> None:
    clock = Clock(arguments.minutes)
    clock.heed_signals()
    try:
        plan, compiled = PLANS[arguments.plan], arguments.compile
        if arguments.start_from is not None:
            start_from(arguments.start_from, plan, arguments.dir)
        train(plan, arguments.dir, clock, arguments.steps, only=arguments.only, compiled=compiled)
    except OutOfTime:
        print(f"stopped; the same command goes on from {arguments.dir}")


def _export(arguments: argparse.Namespace) -> None:
    manifest = export(arguments.dir, arguments.to)
    print(f"{arguments.to}: {manifest.name}, {manifest.size / 1e6:.1f} MB, {manifest.digest}")


def _evaluate(arguments: argparse.Namespace) -> None:
    how = _how(arguments)
    model, out, kind = arguments.model, arguments.to, arguments.kind
    captions, seed = arguments.captions, arguments.seed
    print(evaluate(model, out, kind=kind, captions=captions, seed=seed, how=how))


def _sheet(arguments: argparse.Namespace) -> None:
    how = _how(arguments)
    sheet(arguments.model, arguments.to, clips=arguments.captions, seed=arguments.seed, how=how)


def _curves(arguments: argparse.Namespace) -> None:
    arguments.to.write_text(curves(arguments.dir), encoding="utf-8")


def _judge(arguments: argparse.Namespace) -> None:
    film = np.stack(list(pictures(arguments.film)))
    chunks = read_chunks(film)
    for number, shown in enumerate(chunks, 1):
        print(f"chunk {number}: {shown.colour} {shown.shape}, {shown.motion}, on {shown.ground}")
    ground, colour = drift(chunks[0], chunks[-1])
    print(f"jump at seams: {seam_jump(film):.2f} times the change inside chunks")
    print(f"drift from the first chunk to the last: ground {ground:.1f}, shape {colour:.1f} (RGB)")


def _how(arguments: argparse.Namespace) -> How:
    return How(
        size=arguments.size,
        chunks=arguments.chunks,
        steps=tuple(arguments.steps),
        guidance_scale=arguments.guidance_scale,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.mini", description=__doc__)
    parser.add_argument("--threads", type=int, default=2, help="of the CPU (default: 2)")
    commands = parser.add_subparsers(required=True)

    command = commands.add_parser("train", help="go on with a training, or begin one")
    command.add_argument("--dir", type=Path, required=True, help="where it is kept")
    command.add_argument("--minutes", type=float, required=True, help="how long from now on")
    command.add_argument("--steps", type=int, help="of the transformer in all; none by default")
    command.add_argument("--only", choices=BESIDE, default="", help="while another does the other")
    command.add_argument("--compile", action="store_true", help="quicker; needs a C++ compiler")
    command.add_argument("--plan", choices=sorted(PLANS), default="base")
    command.add_argument("--start-from", type=Path, help="a training of another size or type")
    command.set_defaults(do=_train)

    command = commands.add_parser("export", help="write what was trained as a model directory")
    command.add_argument("--dir", type=Path, required=True, help="of the training")
    command.add_argument("--to", type=Path, required=True, help="a new directory")
    command.set_defaults(do=_export)

    command = commands.add_parser("curves", help="draw the losses of a training as SVG")
    command.add_argument("--dir", type=Path, required=True, help="of the training")
    command.add_argument("--to", type=Path, required=True, help="file")
    command.set_defaults(do=_curves)

    command = commands.add_parser("judge", help="say what a film shows, chunk by chunk")
    command.add_argument("film", type=Path, help="a video file of this world")
    command.set_defaults(do=_judge)

    command = commands.add_parser("evaluate", help="render held-out captions and judge them")
    command.add_argument("--to", type=Path, required=True, help="a folder")
    command.add_argument("--kind", choices=KINDS, default="text", help="of clips (default: text)")
    _add_how(command, captions=200)
    command.set_defaults(do=_evaluate)

    command = commands.add_parser("sheet", help="render held-out captions as a contact sheet")
    command.add_argument("--to", type=Path, required=True, help="a PNG file")
    _add_how(command, captions=14)
    command.set_defaults(do=_sheet)
    return parser


def _add_how(command: argparse.ArgumentParser, captions: int) -> None:
    """What is rendered, and how."""
    command.add_argument("--model", type=Path, default=MINI, help="its directory (helios-mini)")
    command.add_argument("--captions", type=int, default=captions)
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--size", type=int, default=64, help="pixels of a side")
    command.add_argument("--chunks", type=int, default=2)
    command.add_argument(
        "--steps", type=int, nargs="+", default=[20], help="of each stage: 20, or 2 2 2"
    )
    command.add_argument("--guidance-scale", type=float, default=3.0)


if __name__ == "__main__":
    main()
