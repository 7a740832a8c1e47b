"""The render child: a process of its own that keeps a renderer over many clips.

    python -m node_agent.render.process --renderer testcard --parent PID

It reads commands from stdin and writes reports to stdout (see `messages`); logs go to stderr.
`node_agent.render.child` starts it. Three threads: this one renders, the scribe encodes and
writes, the reader takes commands, and ends the process when their pipe ends.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

# Nothing heavy up here: the process must hold its ropes before numpy, av or torch are loaded.
from node_agent.render.guard import ExitCode, die_with_parent, leave, take_pipes
from node_agent.render.profiles import PROFILES

if TYPE_CHECKING:
    from node_agent.render.desk import Desk
    from node_agent.render.messages import Report
    from node_agent.render.renderer import Renderer

logger = logging.getLogger("node_agent.render")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the child; never returns."""
    options = _parse(arguments)
    die_with_parent(options.parent)
    commands, reports = take_pipes()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the agent to answer
    from heliostat.logs.setup import configure

    configure("child")
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, str(options.threads))
    if options.stamps:  # what is compiled outlives a restart, and is nobody else's to write
        kernels = options.stamps.absolute().with_name("kernels")
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(kernels))
    leave(_serve(options, commands, reports))


def _serve(options: argparse.Namespace, commands: BinaryIO, reports: BinaryIO) -> ExitCode:
    from node_agent.encode import encoder_id
    from node_agent.render.desk import Desk
    from node_agent.render.energy import Energy
    from node_agent.render.failures import classify, describe
    from node_agent.render.messages import LoadFailed, Ready
    from node_agent.render.profiles import stack_with
    from node_agent.render.session import Session
    from node_agent.telemetry import EnergyMeter

    mouth = _Mouth(reports)
    desk = Desk(mouth.report, options.unrecorded_max, options.lanes)
    threading.Thread(target=_read, args=(commands, desk), name="reader", daemon=True).start()
    try:
        renderer = _renderer(options)
    except Exception as error:
        logger.exception("the renderer cannot start")
        mouth.report(LoadFailed(failure=classify(error), message=describe(error)))
        return ExitCode.LOAD_FAILED
    mouth.report(
        Ready(
            renderer=renderer.name,
            model_digest=renderer.model_digest,
            stack_id=f"{stack_with(renderer.stack_id, renderer.profiles[0])},{encoder_id()}",
            profiles=renderer.profiles,
            model_name=renderer.model_name,
            placement=renderer.placement,
        )
    )
    energy = Energy(EnergyMeter.for_device(options.device))
    session = Session(renderer, desk, mouth.report, lanes=options.lanes, energy=energy)
    return ExitCode.STOPPED if session.run() else ExitCode.BROKEN


class _Mouth:
    """The report pipe, one report at a time from any thread."""

    def __init__(self, pipe: BinaryIO) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()

    def report(self, report: Report) -> None:
        from node_agent.render.messages import report_bytes

        content = memoryview(report_bytes(report))
        with self._lock:
            try:
                while content:
                    content = content[self._pipe.write(content) :]
            except OSError:  # nobody listens any more
                leave(ExitCode.ORPHANED)


def _read(commands: BinaryIO, desk: Desk) -> None:
    """The reader thread: commands to the desk, and the end of the process with their pipe's."""
    from node_agent.render.messages import ProtocolError, read_command

    try:
        while (command := read_command(commands)) is not None:
            desk.put(command)
    except ProtocolError as error:
        logger.error("%s", error)
        leave(ExitCode.PROTOCOL)
    except BaseException:
        logger.exception("the reader broke")
        leave(ExitCode.BROKEN)
    leave(ExitCode.ORPHANED)


def _renderer(options: argparse.Namespace) -> Renderer:
    if options.renderer == "testcard":
        from node_agent.render.testcard import TestCardRenderer

        return TestCardRenderer(options.seconds_per_chunk)
    from node_agent.render.helios.renderer import HeliosRenderer

    return HeliosRenderer(
        options.model,
        device=options.device,
        threads=options.threads,
        stamps=options.stamps,
        embeddings=options.stamps.with_name("embeddings") if options.stamps else None,
        loras=options.loras,
        streamed=options.streamed,
        vram_bytes=options.vram,
        ram_bytes=options.ram,
        pageable=options.pageable,
        compiled=options.compiled,
        profile=options.profile,
    )


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="node_agent.render.process", description=__doc__)
    parser.add_argument("--parent", type=int, required=True, help="the agent's process id")
    parser.add_argument("--renderer", choices=["testcard", "helios"], required=True)
    parser.add_argument("--model", type=Path, help="model directory (helios)")
    parser.add_argument("--stamps", type=Path, help="file that remembers verified hashes (helios)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda:N (helios)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads for arithmetic")
    parser.add_argument("--lanes", type=int, default=1, help="clips rendered in lockstep at most")
    parser.add_argument(
        "--streamed", action="store_true", help="keep the weights off the card (helios)"
    )
    parser.add_argument("--vram", type=int, help="bytes of the card to take at most (helios)")
    parser.add_argument("--ram", type=int, help="bytes of the host to take at most (helios)")
    parser.add_argument(
        "--pageable", action="store_true", help="stream from ordinary memory (helios)"
    )
    parser.add_argument(
        "--compile",
        dest="compiled",
        action=argparse.BooleanOptionalAction,
        help="compile the transformer's blocks; by default on a GPU (helios)",
    )
    parser.add_argument("--profile", choices=PROFILES, help="the only profile to offer (helios)")
    parser.add_argument("--loras", type=Path, help="directory of pinned LoRAs (helios)")
    parser.add_argument("--seconds-per-chunk", type=float, default=0.0, help="testcard's pace")
    parser.add_argument(
        "--unrecorded-max", type=int, default=2, help="chunks begun and not yet recorded, at most"
    )
    options = parser.parse_args(arguments)
    if options.renderer == "helios" and options.model is None:
        parser.error("--renderer helios needs --model DIR")
    return options


if __name__ == "__main__":
    main()
