"""What this machine brings into a farm: its cards, its settings, the token that lets it in."""

from __future__ import annotations

import fcntl
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, Final

from heliostat.logs.settings import LEVELS
from node_agent.cluster.errors import JoinError
from node_agent.cluster.ray_node import CardFacts, label_word
from node_agent.cluster.settings import NodeSettings
from node_agent.inventory import place_of
from node_agent.memory_size import memory_size
from node_agent.node_file import load_node, load_places
from node_agent.releases.catalog import releases_dir
from node_agent.render.profiles import PROFILES
from node_agent.telemetry import card_type, find_nvml, nvml_index

TOKEN_VARIABLE: Final = "HELIOSTAT_RAY_TOKEN"  # noqa: S105 - where it is, not what it is
LOCK_NAME: Final = "join.lock"
RENDERERS: Final = ("helios", "testcard")

DEFAULTS: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "name": "",
        "cpu_cards": 0,
        "gpu_cards": None,
        "renderer": "helios",
        "model": None,
        "seconds_per_chunk": 0.0,
        "lanes": 0,
        "vram": None,
        "ram": None,
        "pageable": False,
        "profile": None,
        "loras": None,
        "inputs": (),
        "roots": MappingProxyType({}),
        "tags": (),
        "idle_unload_seconds": 0.0,
        "upload_mbit": 0.0,
        "model_port": 0,
        "spool": "~/.heliostat/spool",
        "releases": None,
        "log_level": "",
        "traces_endpoint": "",
    }
)
"""What neither a flag nor the node's file says."""


def ray_token(file: Path | None) -> str:
    """The token that Ray's nodes show. Raises `JoinError`, OSError."""
    text = file.expanduser().read_text("utf-8") if file else os.environ.get(TOKEN_VARIABLE, "")
    if not (token := text.strip()):
        where = f"{file} is empty" if file else f"neither --token-file nor {TOKEN_VARIABLE} is set"
        raise JoinError(
            f"{where}: a machine joins with the Ray token that the farm was started with "
            "(secrets/ray_token of its data directory)"
        )
    if not token.isascii() or any(char.isspace() for char in token):
        raise JoinError("the Ray token must be one word of ASCII characters")
    return token


def name_of(said: Mapping[str, Any]) -> str:
    """What the farm calls this machine. Raises `JoinError`."""
    name = str(said["name"] or platform.node())
    if not name or name != label_word(name):
        raise JoinError(
            f"{name!r} cannot name a machine: at most 50 letters, digits, dots, dashes and "
            "underscores; give it another with --name"
        )
    return name


def said_of(file: Path, flags: Mapping[str, Any]) -> dict[str, Any]:
    """Every setting of `DEFAULTS`: as a flag says that is not None, else as [node] of the file.

    Raises `NodeFileError`.
    """
    given = {key: value for key, value in flags.items() if value is not None}
    return {**DEFAULTS, **load_node(file), **given}


def settings_of(
    said: Mapping[str, Any], *, directory: Path, stamps: Path, file: Path
) -> NodeSettings:
    """What the node's agents render with. Raises `JoinError`."""
    if said["renderer"] not in RENDERERS:
        raise JoinError(f"there is no renderer {said['renderer']!r}: {', '.join(RENDERERS)}")
    if said["renderer"] == "helios" and not said["model"]:
        raise JoinError(
            "helios needs a model on this machine: --model DIR; `farm-node model fetch` gets one"
        )
    if said["profile"] is not None and said["profile"] not in PROFILES:
        raise JoinError(f"there is no profile {said['profile']!r}: {', '.join(PROFILES)}")
    if said["log_level"] not in ("", *LEVELS):
        raise JoinError(f"there is no log_level {said['log_level']!r}: {', '.join(LEVELS)}")
    return NodeSettings(
        directory=directory,
        spool=absolute(said["spool"]),
        releases=absolute(said["releases"] or releases_dir()),
        stamps=stamps.absolute(),
        cpu_cards=said["cpu_cards"],
        renderer=said["renderer"],
        model=absolute(said["model"]) if said["model"] else None,
        seconds_per_chunk=said["seconds_per_chunk"],
        lanes=said["lanes"],
        vram_bytes=_bytes("vram", said["vram"]),
        ram_bytes=_bytes("ram", said["ram"]),
        pageable=said["pageable"],
        profile=said["profile"],
        loras=absolute(said["loras"]) if said["loras"] else None,
        inputs=tuple(str(absolute(path)) for path in said["inputs"]),
        roots={name: str(absolute(path)) for name, path in said["roots"].items()},
        tags=tuple(said["tags"]),
        idle_unload_seconds=said["idle_unload_seconds"],
        upload_mbit=said["upload_mbit"],
        model_port=said["model_port"],
        node_file=file,
        log_level=said["log_level"],
        traces_endpoint=said["traces_endpoint"],
    )


def _bytes(name: str, size: int | str | None) -> int | None:
    """A size as a flag gives it, or as the node's file writes it."""
    try:
        return memory_size(size) if isinstance(size, str) else size
    except ValueError as error:
        raise JoinError(f"{name}: {error}") from None


def roots_of(given: Sequence[str]) -> dict[str, str]:
    """`NAME=DIR` of each root as a mapping. Raises `JoinError`."""
    found: dict[str, str] = {}
    for text in given:
        name, equals, directory = text.partition("=")
        if not (name and equals and directory):
            raise JoinError(f"--root {text}: write it as NAME=DIR, such as show=/mnt/show")
        if name in found:
            raise JoinError(f"--root {text}: {name} is given twice")
        found[name] = directory
    return found


def find_cards(said: Mapping[str, Any], file: Path) -> Sequence[CardFacts]:
    """The cards to give to the farm, by slot; without a number, all GPUs that CUDA would see.

    Raises `JoinError`, `NodeFileError`.
    """
    gpu_cards, common = said["gpu_cards"], tuple(said["tags"])
    places = load_places(file)
    nvml = find_nvml()
    known = {card.index: card for card in nvml.cards()} if nvml else {}
    cpu = CardFacts(card_type=card_type(None), tags=common)
    found = [cpu] * said["cpu_cards"]
    for number in range(len(known) if gpu_cards is None else gpu_cards):
        index = nvml_index(f"cuda:{number}", tuple(known.values()))
        if index is None:
            if gpu_cards is None:
                break
            raise JoinError(f"there are no {gpu_cards} GPUs here: `farm-node inventory` lists them")
        card = known[index]
        kind, vram = card_type(card.name), card.vram_bytes or 0
        tags = (*common, *place_of(card, places).tags)
        found.append(CardFacts(card_type=kind, vram_bytes=vram, tags=tags))
    if not found:
        raise JoinError(
            "there is no card to give: no GPU that can be used (`farm-node doctor` says why); "
            "for a rehearsal, --cpu-cards 1"
        )
    return found


def only_one(directory: Path) -> IO[str]:
    """Hold the node's lock, with this process's id in it, for as long as the file is open.

    Raises `JoinError` when another process does, OSError.
    """
    directory.mkdir(parents=True, exist_ok=True)
    lock = (directory / LOCK_NAME).open("a+")
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise JoinError(
            f"this machine is in a farm already ({directory}): farm-node leave; "
            "for a second farm, another --dir"
        ) from None
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def who_joined(directory: Path) -> int | None:
    """The process that holds the node's lock; None when nobody does."""
    try:
        with (directory / LOCK_NAME).open() as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return int(file.read().strip() or 0) or None
    except FileNotFoundError:
        pass
    return None


def absolute(path: Path | str) -> Path:
    """As it is meant here, whoever reads it."""
    return Path(path).expanduser().absolute()
