"""What the operator says of this machine's cards: a small TOML file.

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


def load_places(path: Path) -> Mapping[str, Place]:
    """Places by UUID or index, as text; none where there is no file. Raises `NodeFileError`."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return MappingProxyType({})
    except (OSError, UnicodeDecodeError) as error:
        raise NodeFileError(f"{path}: cannot be read ({error})") from error
    except tomllib.TOMLDecodeError as error:
        raise NodeFileError(f"{path}: not TOML: {error}") from error
    for key in content.keys() - {"card"}:
        raise NodeFileError(f'{path}: {key}: no such key; write [card."GPU-…"] or [card.0]')
    cards = content.get("card", {})
    if not isinstance(cards, dict):
        raise NodeFileError(f'{path}: card: must be a table; write [card."GPU-…"] or [card.0]')
    return MappingProxyType({key: _place(path, key, said) for key, said in cards.items()})


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
