"""`python -m bench.gpu` on a machine that has only Python and torch: no network, nothing installed.

    python3 bench/gpu/bare.py WHEELS [options of bench.gpu]

WHEELS is a folder of wheels (bench/gpu/wheels.txt says which). They are unpacked beside each other
into a temporary folder, which comes before the machine's own packages. Needs nothing but Python.
"""

import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main(arguments: Sequence[str]) -> int:
    """Unpack, measure, and remove what was unpacked."""
    if not arguments or not Path(arguments[0]).is_dir():
        print(f"{' '.join(arguments[:1]) or 'WHEELS'} is no folder\n\n{__doc__}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="wheels-") as folder:
        unpack(Path(arguments[0]), Path(folder))
        before = os.environ.get("PYTHONPATH")
        paths = [str(ROOT), folder, *([before] if before else [])]
        return subprocess.call(
            [sys.executable, "-m", "bench.gpu", *arguments[1:]],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )


def unpack(wheels: Path, folder: Path) -> None:
    """All wheels of a folder, as an installer would that has no scripts to install."""
    for wheel in sorted(wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if name.partition("/")[0].endswith(".data"):
                    sys.exit(f"{wheel}: {name} has to be installed, not only unpacked")
            archive.extractall(folder)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
