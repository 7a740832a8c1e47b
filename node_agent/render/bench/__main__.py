"""Measures a card; a process of its own, so that nothing is in memory but what is measured.

    python -m node_agent.render.bench --model DIR --device cuda:0 … --parent PID

`farm-node bench` starts it. The record goes to standard output, progress to standard error.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from node_agent.render.bench.options import Options, parse
from node_agent.render.guard import die_with_parent, take_pipes

if TYPE_CHECKING:
    from node_agent.render.bench.figures import Record
    from node_agent.render.energy import Meter

logger = logging.getLogger("node_agent.render.bench")

FORMAT_VERSION = 1
"""Of the record; raised when a reader of the version before would misread."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print the record; exit code 1, with the reason, when there is none."""
    options, parent = parse(arguments)
    die_with_parent(parent)
    _, out = take_pipes()
    logging.basicConfig(stream=sys.stderr, format="%(message)s")
    logging.getLogger("node_agent").setLevel(logging.INFO)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, str(options.threads))
    from node_agent.models import ModelError
    from node_agent.render.renderer import PromptError
    from node_agent.telemetry import EnergyMeter

    try:
        record = measure(options, EnergyMeter.for_device(options.device))
    except (ModelError, PromptError) as error:
        sys.exit(str(error))
    with out:
        out.write(json.dumps(record, allow_nan=False, indent=2).encode() + b"\n")


def measure(options: Options, meter: Meter | None = None) -> Record:
    """The record. Raises `ModelError` and `PromptError`, as loading and starting a clip do."""
    import torch

    from node_agent.render.bench import about, around, subject
    from node_agent.render.bench.chunks import cases, tuned
    from node_agent.render.bench.memory import MemoryWatch
    from node_agent.render.helios.device import device_named
    from node_agent.render.helios.renderer import stack_id

    torch.set_num_threads(options.threads)
    device = device_named(options.device)
    logger.info("loading %s on %s", options.model or subject.RANDOM, device)
    began = time.perf_counter()
    with MemoryWatch(device) as memory:
        model = subject.load(options, device)
    load = {"seconds": time.perf_counter() - began, **memory.record()}
    if options.tune:
        measured, chunk, found = tuned(model, options, meter)
    else:
        measured, chunk = cases(model, options, meter)
    record: Record = {
        "format_version": FORMAT_VERSION,
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": options.command(),
        "card": about.card(device),
        "host": about.host(),
        "versions": about.versions(),
        "stack_id": stack_id(device, model.stack_words),
        "model": subject.describe(model, options.model),
        "width": options.width,
        "height": options.height,
        "load": load,
        "cases": measured,
        "decode": around.decodes(model, chunk),
        "encode": around.encode(chunk.frames),
    }
    if options.tune:
        record["tuned"] = found
    if device.type == "cuda":
        record["copy"] = around.copies(device)
    return record


if __name__ == "__main__":
    main()
