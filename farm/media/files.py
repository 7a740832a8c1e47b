"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def appearing(destination: Path) -> Iterator[Path]:
    """A temporary path beside `destination`, a file or a folder, that takes its place in the end.

    When the block raises, what was written is removed and whatever was there stays. A folder that
    is there already is not replaced: OSError.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    making = destination.with_name(f".{destination.name}.{os.getpid()}.part{destination.suffix}")
    try:
        yield making
        making.replace(destination)
    except BaseException:
        if making.is_dir():
            shutil.rmtree(making)
        else:
            making.unlink(missing_ok=True)
        raise
