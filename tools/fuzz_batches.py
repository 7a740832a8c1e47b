"""Feeds what a fuzzer makes up to the readers of submissions: whatever comes, no traceback.

    pip install atheris==3.0.0
    python tools/fuzz_batches.py -max_total_time=600 -max_len=4096 CORPUS

The options and the folder of the corpus are libFuzzer's. It begins with the files of examples/,
and stops at the first input that ends in anything but clips or problems.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
KINDS = ("csv", "jsonl", "yaml", "json")
"""The first byte of an input says which; the second, which options go with it."""


def seed(corpus: Path) -> None:
    """Put the examples into a corpus, in the form that `Target` reads."""
    corpus.mkdir(parents=True, exist_ok=True)
    for file in sorted((ROOT / "examples").iterdir()):
        kind = file.suffix.removeprefix(".")
        if kind in KINDS:
            head = bytes([KINDS.index(kind), 0])
            (corpus / file.name).write_bytes(head + file.read_bytes()[:4000])


class Target:
    """One submission for each input."""

    def __init__(self, directory: Path) -> None:
        from farm.client.errors import Refused
        from farm.client.local_check import check_alone

        self._check, self._refused = check_alone, Refused
        self._files = [directory / f"f.{kind}" for kind in KINDS]

    def __call__(self, data: bytes) -> None:
        """Check it; raises what is not a refusal."""
        if len(data) < 2:
            return
        file = self._files[data[0] % len(KINDS)]
        file.write_bytes(data[2:])
        try:
            self._check(file, _asked(data[1]))
        except self._refused as refused:
            if not refused.problems:
                raise AssertionError("it is refused without a word") from None


def _asked(bits: int) -> dict[str, Any]:
    return {
        "set_fields": {"prompt": "a cat"} if bits & 1 else {},
        "column_map": {"text": "prompt"} if bits & 2 else {},
        "wedge": ["seed=1..2; steps=1-1-1,2"] if bits & 4 else [],
        "fill": bool(bits & 8),
    }


def main() -> None:
    """Fuzz until libFuzzer has had enough."""
    try:
        atheris = importlib.import_module("atheris")
    except ImportError:
        sys.exit("atheris is missing: pip install atheris==3.0.0 (Python 3.11 to 3.13, Linux)")
    sys.path[:0] = [str(ROOT), str(ROOT / "proto")]
    with atheris.instrument_imports(include=["farm.client", "farm.domain", "yaml", "csv", "json"]):
        import farm.client.local_check  # noqa: F401 - instrumented while it is imported
    for argument in sys.argv[1:]:
        if not argument.startswith("-"):
            seed(Path(argument))
    with tempfile.TemporaryDirectory() as directory:
        atheris.Setup(sys.argv, Target(Path(directory)))
        atheris.Fuzz()


if __name__ == "__main__":
    main()
