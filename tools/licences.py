"""Checks the licences of everything installed beside Heliostat against what we may depend on.

Reads the metadata that each distribution carries. A licence that is not in `ALLOWED` fails the
check (exit 1), and so does a distribution that names none: somebody has to look. `--all` lists
every distribution, otherwise one line per licence is shown.
"""

import argparse
import re
import sys
from collections import defaultdict
from collections.abc import Iterable
from importlib.metadata import Distribution, distributions

ALLOWED = frozenset(
    {
        "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause",
        "BSL-1.0", "CC0-1.0", "CNRI-Python", "ISC", "MIT", "MIT-0", "MIT-CMU", "PSF-2.0",
        "Python-2.0", "Unlicense", "Zlib",
        "MPL-2.0",  # copyleft per file: used unchanged, it asks nothing of our own files
        "LGPL-3.0-only",  # copyleft per library: imported unchanged, and anyone may replace it
    }
)  # fmt: skip

# What older metadata writes, and what it means.
ALIASES = {
    "Apache": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache 2.0 License": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "3-Clause BSD License": "BSD-3-Clause",
    "BSD": "BSD-3-Clause",
    "BSD License": "BSD-3-Clause",
    "BSD 2-Clause License": "BSD-2-Clause",
    "BSD 3-Clause License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}

# Their metadata names none; somebody has read the licence file that comes with them.
READ = {"torchao": "BSD-3-Clause"}

# The CUDA lock only: fetched by the user's own pip under NVIDIA's terms, never shipped by us.
NVIDIA = re.compile(r"(nvidia|cuda)-")

REMARKS = {
    "psycopg": "LGPL, in the extra [postgres] alone: docs/decisions/0015",
    "av": "its wheel carries FFmpeg with x264 (GPL): docs/decisions/0006",
}


def licence_of(distribution: Distribution) -> str:
    """The SPDX expression that a distribution's metadata amounts to; "" when it names none."""
    metadata = distribution.metadata
    if "License-Expression" in metadata:
        return metadata["License-Expression"]
    if metadata["Name"] in READ:
        return READ[metadata["Name"]]
    written = "".join(metadata.get_all("License") or [])
    classifiers = [
        entry.rsplit(" :: ", 1)[1]
        for entry in metadata.get_all("Classifier") or []
        if entry.startswith("License :: ") and "DFSG" not in entry
    ]
    # A short text names the licence; a long one is the licence, and the classifiers name it.
    if written in ALIASES or allowed(written):
        return ALIASES.get(written, written)
    return " OR ".join(ALIASES.get(name, name) for name in classifiers) or written[:60]


def allowed(expression: str) -> bool:
    """Whether every part of an expression can be satisfied by a licence in `ALLOWED`."""
    parts = expression.replace("(", "").replace(")", "").split(" AND ")
    return all(any(name.strip() in ALLOWED for name in part.split(" OR ")) for part in parts)


def report(rows: Iterable[tuple[str, str]], every: bool) -> list[str]:
    """Prints the table of (distribution, licence) and returns the names that may not stay."""
    groups = defaultdict(list)
    refused = []
    for name, licence in rows:
        groups[licence].append(name)
        if not allowed(licence) and not NVIDIA.match(name):
            refused.append(name)
    for licence, names in sorted(groups.items(), key=lambda group: (-len(group[1]), group[0])):
        if every or any(name in refused for name in names) or len(names) < 3:
            names_shown = ", ".join(names)
        else:
            names_shown = ", ".join(names[:2]) + ", ..."
        print(f"{len(names):4}  {licence[:56] or '(none named)':56}  {names_shown}")
    for name, remark in REMARKS.items():
        print(f"      {name}: {remark}")
    return refused


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--all", action="store_true", help="name every distribution")
    options = parser.parse_args()
    rows = sorted({(each.name, licence_of(each)) for each in distributions()})
    refused = report(rows, options.all)
    for name in refused:
        print(
            f"{name}: its licence is not among those we accept; choose another library, or add the"
            " licence to tools/licences.py with the reason",
            file=sys.stderr,
        )
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
