"""Runs docs/tour.md: every command in it, and the pictures that it shows.

A block of the kind `console` holds commands (`$ …`) and what they printed; `console exit=2` says
how its last one ends. A `<!-- shows: TEXT -->` after a block must be in what it printed. Blocks of
the kind `python` are run likewise. With --write the output and the pictures in the document are
replaced by those of this run; without, only what is said of them is held against it.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
TOUR: Final = ROOT / "docs" / "tour.md"
SHOTS: Final = ROOT / "examples" / "tour"
PORTS: Final = 20
SECONDS_MAX: Final = 300
WIDTH: Final = 110

_FENCE = re.compile(r"```(console|python)(?: exit=(\d+))?")
_SHOWS = re.compile(r"<!-- shows: (.*) -->")
_PICTURE = re.compile(r"!\[[^\]]*\]\((pictures/tour-[^)]+)\)")


class TourError(Exception):
    """The document and the program do not agree."""


@dataclass(slots=True)
class Block:
    """Commands of the document, with what they are to do."""

    kind: str
    exit_code: int
    first: int
    """Line numbers, from 0: its first inner line, and the one that closes it."""
    last: int
    lines: list[str] = field(default_factory=list)
    shows: list[str] = field(default_factory=list)

    def commands(self) -> list[str]:
        """One for each `$`, its `> ` lines joined on; of Python the whole text."""
        if self.kind == "python":
            return ["\n".join(self.lines)]
        found: list[str] = []
        for line in self.lines:
            if line.startswith("$ "):
                found.append(line[2:])
            elif line.startswith("> ") and found and found[-1].endswith("\\"):
                found[-1] += "\n" + line[2:]
        return found


def blocks(lines: list[str]) -> Iterator[Block]:
    """The blocks of the document that are to be run, in order."""
    block: Block | None = None
    last: Block | None = None
    for number, line in enumerate(lines):
        if block is not None:
            if line == "```":
                block.last, last = number, block
                yield block
                block = None
            else:
                block.lines.append(line)
        elif fence := _FENCE.fullmatch(line):
            block = Block(fence[1], int(fence[2] or 0), number + 1, number)
        elif (shows := _SHOWS.fullmatch(line)) and last is not None:
            last.shows.append(shows[1])


def run(block: Block, folder: Path, environment: dict[str, str]) -> list[str]:
    """Run a block; returns its lines with what they print now. Raises `TourError`."""
    printed: list[str] = []
    commands = block.commands()
    for command in commands:
        is_last = command is commands[-1]
        shell = ["bash", "-euo", "pipefail", "-c", command]
        program = [sys.executable, "-c", command] if block.kind == "python" else shell
        begun = time.monotonic()
        done = subprocess.run(
            program, cwd=folder, env=environment, capture_output=True, text=True,
            timeout=SECONDS_MAX, check=False,
        )  # fmt: skip
        said = done.stdout + done.stderr
        print(f"  {time.monotonic() - begun:6.1f} s  {command.splitlines()[0][:90]}", flush=True)
        wanted = block.exit_code if is_last else 0
        if done.returncode != wanted:
            raise TourError(
                f"line {block.first + 1}: exit code {done.returncode}, not {wanted}\n"
                f"{command}\n{said}"
            )
        if block.kind == "console":
            printed += _as_typed(command)
        printed += [line.rstrip() for line in said.splitlines()]
    text = "\n".join(printed)
    for shown in block.shows:
        if shown not in text:
            raise TourError(f"line {block.first + 1}: {shown!r} is not in\n{text}")
    return _trimmed(printed)


def _as_typed(command: str) -> list[str]:
    first, *rest = command.split("\n")
    return [f"$ {first}", *(f"> {line}" for line in rest)]


def _trimmed(lines: list[str]) -> list[str]:
    """Without doubled empty lines, and none at the end."""
    kept = [line for i, line in enumerate(lines) if line or (i and lines[i - 1])]
    while kept and not kept[-1]:
        kept.pop()
    return kept


def environment_of(folder: Path) -> dict[str, str]:
    """Where the tour's farm lives: its own directory and ports, this checkout's commands."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HELIOSTAT_")}
    return {
        **kept,
        "PATH": f"{Path(sys.executable).parent}:{kept.get('PATH', '')}",
        "HELIOSTAT_DATA_DIR": str(folder / ".farm"),
        "HELIOSTAT_PORT": str(free_port()),
        "NO_COLOR": "1",
        "COLUMNS": str(WIDTH),
        "TERM": "dumb",
    }


def free_port() -> int:
    """The first of a row of ports that a farm may take; tests give themselves others."""
    for base in range(32_000, 32_700, PORTS):
        try:
            for port in range(base, base + PORTS):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return base
    raise TourError("no twenty free ports in a row between 32000 and 32700")


def tour(document: Path, *, write: bool) -> None:
    """Run all of it. Raises `TourError`."""
    lines = document.read_text(encoding="utf-8").split("\n")
    with tempfile.TemporaryDirectory(prefix="heliostat-tour-") as name:
        folder = Path(name)
        shutil.copytree(SHOTS, folder, dirs_exist_ok=True)
        environment = environment_of(folder)
        printed: list[tuple[Block, list[str]]] = []
        try:
            for block in list(blocks(lines)):
                printed.append((block, run(block, folder, environment)))
        finally:
            subprocess.run(["farm", "down"], env=environment, capture_output=True, check=False)
        pictures = _pictures(lines, document, folder)
        if not write:
            return
        for block, now in reversed(printed):
            if block.kind == "console":
                lines[block.first : block.last] = [_nameless(line, folder) for line in now]
        document.write_text("\n".join(lines), encoding="utf-8")
        for made, shown in pictures:
            shown.parent.mkdir(exist_ok=True)
            shutil.copyfile(made, shown)


def _pictures(lines: list[str], document: Path, folder: Path) -> list[tuple[Path, Path]]:
    """(Made by this run, shown in the document). Raises `TourError` for one that was not made."""
    found = []
    for line in lines:
        for link in _PICTURE.findall(line):
            made = folder / Path(link).name.removeprefix("tour-")
            if not made.exists():
                raise TourError(f"the picture {link} was not made: there is no {made.name}")
            found.append((made, document.parent / link))
    return found


def _nameless(line: str, folder: Path) -> str:
    """Without this run's own directories."""
    return line.replace(f"{folder}/", "").replace(str(folder), ".")


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Run docs/tour.md.")
    parser.add_argument("--write", action="store_true", help="put output and pictures into it")
    arguments = parser.parse_args()
    try:
        tour(TOUR, write=arguments.write)
    except TourError as error:
        print(f"tour: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
