"""Settings written as TOML, and a settings file that its owner may have changed since."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from heliostat.services.errors import ServiceError
from heliostat.services.files import File, below, digest_of


def toml_lines(values: Mapping[str, Any]) -> str:
    """A line for each value: text, number, truth, list, or table of these."""
    return "".join(f"{name} = {_written(value)}\n" for name, value in values.items())


def _written(value: Any) -> str:
    if isinstance(value, Mapping):
        inner = ", ".join(f"{json.dumps(k)} = {_written(each)}" for k, each in value.items())
        return f"{{{inner}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_written, value))}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    return json.dumps(str(value), ensure_ascii=False)  # a basic string of TOML


def read_toml(path: Path) -> dict[str, Any]:
    """A file's tables; empty where there is none. Raises `ServiceError`, OSError."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ServiceError(f"{path}: not TOML ({error}): mend it, or move it away") from None


def settled(
    file: File, root: Path, *, old: Mapping[str, Any], new: Mapping[str, Any], written: str | None
) -> File | None:
    """The settings file to write: none where the one that is there says the same already.

    `old` and `new` are the settings of both, `written` the hash that we wrote it with, if we did.
    Raises `ServiceError` where it was changed by hand and says otherwise, OSError.
    """
    path = below(root, file.path)
    if not path.exists():
        return file
    if old == new:
        return None
    if digest_of(path) == written:
        return file
    lines = toml_lines({key: value for key, value in new.items() if old.get(key) != value})
    raise ServiceError(
        f"{file.path} is yours and says otherwise; write into it, or leave the options out:\n"
        f"{lines.rstrip()}"
    )
