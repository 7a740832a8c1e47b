"""`farm-node` over a tiny Helios, and the clips that most tests start from, each rendered once."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest

from node_agent.cli import main
from node_agent.reel.reel import Reel, ReelFile, reel_of

PROMPT = "A red fox runs through snow."
SMALL = ("--size", "64x64", "--steps", "1,1,1", "--threads", "1", "--device", "cpu")


@dataclass(frozen=True)
class Said:
    """What a command left behind."""

    code: int
    out: str
    err: str


def farm_node(*arguments: object) -> Said:
    """Run the command in this process; its render child is a real one."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with (
        mock.patch.object(sys, "argv", ["farm-node", *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
    return Said(code, out.getvalue(), err.getvalue())


class Studio:
    """A model, and a folder for films."""

    def __init__(self, model: Path, folder: Path) -> None:
        self.model = model
        self.folder = folder

    def render(self, name: str, *options: object, prompt: str = PROMPT) -> Path:
        """A film of this name, which must succeed."""
        return self.make(name, *self.asked(*options, prompt=prompt))

    def asked(self, *options: object, prompt: str = PROMPT) -> tuple[object, ...]:
        """The command of a small clip, without --out."""
        return ("render", prompt, "--model", self.model, *SMALL, *options)

    def make(self, name: str, *command: object) -> Path:
        """A film of this name by any command, which must succeed."""
        film = self.folder / name
        said = farm_node(*command, "--out", film)
        assert said.code == 0, said
        assert str(film) in said.out
        return film


@pytest.fixture(scope="session", autouse=True)
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Whatever this machine knows of models stays out of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HELIOSTAT_MODELS_DIR", str(tmp_path_factory.mktemp("known")))
        yield


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from node_agent.render.helios.tiny import build_tiny

    directory = tmp_path_factory.mktemp("models") / "helios-tiny"
    build_tiny(directory)
    return directory


@pytest.fixture(scope="session")
def studio(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Studio:
    return Studio(model, tmp_path_factory.mktemp("films"))


@pytest.fixture(scope="session")
def trimmed(studio: Studio) -> Path:
    """34 frames: one of the second chunk's is in the film."""
    return studio.render("trimmed.mp4", "--frames", 34)


@pytest.fixture(scope="session")
def whole(studio: Studio) -> Path:
    """90 frames of the same clip, asked for at once."""
    return studio.render("whole.mp4", "--frames", 90)


@pytest.fixture(scope="session")
def longer(studio: Studio, trimmed: Path) -> Path:
    """The trimmed clip, extended to 90 frames."""
    return studio.make("longer.mp4", "extend", trimmed, "--frames", 90)


def files(film: Path, kind: str) -> list[bytes]:
    """All `negative`s or `segment`s of a film's reel."""
    reel = Reel.open(reel_of(film))
    found: list[ReelFile] = [getattr(chunk, kind) for chunk in reel.record.chunks]
    return [reel.path(file).read_bytes() for file in found]
