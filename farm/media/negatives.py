"""A take's lossless master for a while: its reel, decoded by `farm-node redecode`."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from farm.media.errors import BadDelivery
from farm.media.takes import Take


@contextmanager
def decoded(take: Take, model: Path | None) -> Iterator[Path]:
    """Every frame of the take from its negatives, as a lossless film that is removed afterwards.

    Needs the reel beside the take, the model, and a machine with `heliostat[node]`. Raises
    `BadDelivery`.
    """
    reel = take.path.with_suffix(".reel")
    if not reel.is_dir():
        raise BadDelivery(
            f"{reel}: no negatives there; `farm reels` brings them, or leave --negatives out"
        )
    command = shutil.which("farm-node")
    if command is None:
        raise BadDelivery(
            "farm-node is not installed: `pip install heliostat[node]`, or leave --negatives out"
        )
    with tempfile.TemporaryDirectory(prefix=".master-", dir=take.path.parent) as folder:
        master = Path(folder) / f"{take.path.stem}.mkv"
        options = ["--model", str(model)] if model else []
        done = subprocess.run(
            [command, "redecode", str(take.path), "--out", str(master), *options],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            why = done.stderr.strip().splitlines()[-8:]
            raise BadDelivery("\n".join([f"{take.path}: farm-node redecode failed:", *why]))
        yield master
