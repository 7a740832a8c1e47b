"""Checks the licences of everything installed beside Heliostat, and of all that a release ships.

A licence that is not in `ALLOWED` fails the check (exit 1), and so does a distribution or a native
library that names none: somebody has to look. `--all` lists every distribution that is installed;
`--write DIR` writes a report for each part of a release, with versions, licences, where their texts
are, and what native libraries wheels bundle.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from .parts import RELEASED, Part, facts, licence_of, parts_of

ALLOWED = frozenset(
    {
        "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause",
        "BSL-1.0", "CC0-1.0", "CNRI-Python", "ISC", "MIT", "MIT-0", "MIT-CMU", "PSF-2.0",
        "Python-2.0", "Unlicense", "Zlib",
        "MPL-2.0",  # copyleft per file: used unchanged, it asks nothing of our own files
        "LGPL-3.0-only",  # copyleft per library: imported unchanged, and anyone may replace it
    }
)  # fmt: skip

ALLOWED_NATIVE = ALLOWED | {
    "BSD-3-Clause-Clear", "BSD-Attribution-HPND-disclaimer", "FTL", "IJG", "libpng-2.0", "libtiff",
    "MIT-Modern-Variant", "OLDAP-2.8", "PostgreSQL",
    "LGPL-2.0-or-later", "LGPL-2.1-or-later",  # as above: shared libraries, which can be replaced
    "GPL-3.0-or-later WITH GCC-exception-3.1",  # the compiler's run-time: asks nothing of programs
}  # fmt: skip
"""Of native libraries that wheels bundle and of what images build."""

PROPRIETARY = {"node": frozenset({"LicenseRef-NVIDIA-CUDA", "LicenseRef-NVIDIA-SDK"})}
"""In the image of nodes alone, which whoever runs it builds: docs/decisions/0027."""

NVIDIA = ("nvidia-", "cuda-")
"""Where the CUDA lock is installed: fetched by the user's own pip under NVIDIA's terms."""

REMARKS = {
    "psycopg": "LGPL, in the extra [postgres] alone: docs/decisions/0015",
    "av": "its wheel carries FFmpeg with x264 (GPL); images build their own: docs/decisions/0027",
}


def allowed(expression: str, among: frozenset[str] = ALLOWED) -> bool:
    """Whether every part of an expression can be satisfied by a licence in `among`."""
    parts = expression.replace("(", "").replace(")", "").split(" AND ")
    return all(any(name.strip() in among for name in part.split(" OR ")) for part in parts)


def refusals(released: str, parts: Iterable[Part]) -> list[str]:
    """What of a release's parts may not be shipped, each with the reason."""
    own = PROPRIETARY.get(released, frozenset())
    said = []
    for part in parts:
        among = (ALLOWED if part.python else ALLOWED_NATIVE) | own
        if not allowed(part.licence, among):
            licence = part.licence or "no licence that we know"
            said.append(f"{released} ships {part.name} {part.version}: {licence}")
        said += [
            f"{released} ships {part.name} {part.version}, which bundles {library.name}:"
            f" {library.licence or 'its licence is not in requirements/parts.toml'}"
            for library in part.libraries
            if not allowed(library.licence, ALLOWED_NATIVE | own)
        ]
    return said


def check_releases(known: Mapping[str, Any]) -> list[str]:
    """What may not be shipped, of all that a release has."""
    said = []
    for released in RELEASED:
        try:
            said += refusals(released, parts_of(released, known))
        except LookupError as error:
            said.append(str(error.args[0]))
    return said


def table(released: str, parts: Iterable[Part]) -> str:
    """The report of a release's part, in Markdown."""
    lines = [
        f"# Licences: {released}",
        "",
        "| part | version | licence | its text | bundled |",
        "|---|---|---|---|---|",
    ]
    for part in parts:
        bundled = ", ".join(f"{each.name} ({each.licence})" for each in part.libraries)
        texts = ", ".join(part.texts) or "none in the wheel"
        lines.append(f"| {part.name} | {part.version} | {part.licence} | {texts} | {bundled} |")
    return "\n".join(lines) + "\n"


def installed_report(rows: Iterable[tuple[str, str]], every: bool) -> list[str]:
    """Prints the table of (distribution, licence) and returns the names that may not stay."""
    groups = defaultdict(list)
    refused = []
    for name, licence in rows:
        groups[licence].append(name)
        if not allowed(licence) and not name.startswith(NVIDIA):
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
    parser.add_argument("--write", type=Path, metavar="DIR", help="write the reports there")
    options = parser.parse_args()
    rows = sorted({(each.name, licence_of(each)) for each in distributions()})
    refused = [
        f"{name}: its licence is not among those we accept; choose another library, or add the"
        " licence to tools/release/licences.py with the reason"
        for name in installed_report(rows, options.all)
    ]
    known = facts()
    refused += check_releases(known)
    for line in refused:
        print(line, file=sys.stderr)
    if options.write and not refused:
        options.write.mkdir(parents=True, exist_ok=True)
        for released in RELEASED:
            text = table(released, parts_of(released, known))
            (options.write / f"licences-{released}.md").write_text(text, encoding="utf-8")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
