"""What the operator says of this machine and its cards: a small TOML file.

[node]                      # what `farm-node join` needs no flags for
model = "/models/helios-distilled"
inputs = ["/mnt/plates"]
roots = {show = "/mnt/show"}

[card."GPU-1d2f6d0e-…"]     # or [card.0], by NVML's index
rack = "r2"
shelf = "3"
circuit = "B16"
tags = ["quiet", "spare-fan"]
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

DEFAULT_PATH: Final = Path("~/.heliostat/node.toml")


NODE_KEYS: Final[Mapping[str, tuple[type, ...]]] = MappingProxyType(
    {
        "name": (str,),
        "cpu_cards": (int,),
        "gpu_cards": (int,),
        "renderer": (str,),
        "model": (str,),
        "seconds_per_chunk": (int, float),
        "lanes": (int,),
        "vram": (str,),
        "ram": (str,),
        "pageable": (bool,),
        "profile": (str,),
        "loras": (str,),
        "inputs": (list,),
        "roots": (dict,),
        "tags": (list,),
        "idle_unload_seconds": (int, float),
        "upload_mbit": (int, float),
        "model_port": (int,),
        "spool": (str,),
        "releases": (str,),
        "log_level": (str,),
        "traces_endpoint": (str,),
    }
)
"""Keys of [node] → what they hold."""
_WRITTEN: Final = MappingProxyType(
    {
        str: "a text",
        int: "a number",
        list: "a list of texts",
        dict: "a table of texts",
        bool: "true or false",
    }
)


class NodeFileError(Exception):
    """The file cannot be used; the message names file and key, and what helps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a card is, and what else the operator says of it."""

    rack: str | None = None
    shelf: str | None = None
    circuit: str | None = None
    """The fuse that it shares with others."""
    tags: tuple[str, ...] = ()

    @property
    def all_tags(self) -> tuple[str, ...]:
        """With its rack, which the farm knows by its tag."""
        return (*self.tags, *((f"rack={self.rack}",) if self.rack else ()))


def load_node(path: Path) -> dict[str, Any]:
    """What [node] says, by key; empty where there is no file. Raises `NodeFileError`."""
    said = _table(path, "node")
    for key, value in said.items():
        if key not in NODE_KEYS:
            raise NodeFileError(
                f"{path}: node.{key}: no such key; there are {', '.join(NODE_KEYS)}"
            )
        kinds = NODE_KEYS[key]
        inner = value.values() if isinstance(value, dict) else value
        texts = not isinstance(value, list | dict) or all(isinstance(each, str) for each in inner)
        fits = isinstance(value, kinds) and isinstance(value, bool) == (kinds == (bool,))
        if not fits or not texts:
            raise NodeFileError(f"{path}: node.{key}: {value!r} is not {_WRITTEN[kinds[0]]}")
    return said


def load_places(path: Path) -> Mapping[str, Place]:
    """Places by UUID or index, as text; none where there is no file. Raises `NodeFileError`."""
    cards = _table(path, "card")
    return MappingProxyType({key: _place(path, key, said) for key, said in cards.items()})


def _table(path: Path, name: str) -> dict[str, Any]:
    """A table of the file, empty where there is none."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise NodeFileError(f"{path}: cannot be read ({error})") from error
    except tomllib.TOMLDecodeError as error:
        raise NodeFileError(f"{path}: not TOML: {error}") from error
    hint = 'write [node], and [card."GPU-…"] or [card.0]'
    for key in content.keys() - {"card", "node"}:
        raise NodeFileError(f"{path}: {key}: no such key; {hint}")
    table = content.get(name, {})
    if not isinstance(table, dict):
        raise NodeFileError(f"{path}: {name}: must be a table; {hint}")
    return table


def _place(path: Path, card: str, said: Any) -> Place:
    where = f'{path}: card."{card}"'
    if not (card.isdecimal() or card.startswith("GPU-")):
        raise NodeFileError(
            f"{where}: neither an index nor a UUID; `farm-node inventory` lists them"
        )
    if not isinstance(said, dict):
        raise NodeFileError(f"{where}: must be a table of rack, shelf, circuit and tags")
    fields: dict[str, Any] = {}
    for key, value in said.items():
        if key in ("rack", "shelf", "circuit"):
            if not isinstance(value, str):
                raise NodeFileError(f'{where}.{key}: {value!r} is no text; write "{value}"')
            fields[key] = value
        elif key == "tags":
            if not (isinstance(value, list) and all(isinstance(tag, str) for tag in value)):
                raise NodeFileError(f'{where}.tags: must be a list of texts, as ["quiet"]')
            fields[key] = tuple(value)
        else:
            raise NodeFileError(f"{where}.{key}: no such key; there are rack, shelf, circuit, tags")
    return Place(**fields)
