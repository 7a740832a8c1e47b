"""A farm on this machine: where it listens and how to be let in, from its data directory."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from farm.client.errors import FarmUnreachable

STATE_NAME = "farm.json"
"""Written by `farm up`, removed by `farm down`."""


@dataclass(frozen=True, slots=True)
class LocalFarm:
    """What a running farm's data directory says."""

    endpoint: str
    """HOST:PORT of the gRPC API."""
    http: str
    """URL of /metrics."""
    token: str
    """Empty when it may not be read."""
    ca: Path | None = None
    """PEM file by which the farm is verified; None where it speaks without TLS."""
    name: str = ""
    """What its certificate calls it; empty: as the endpoint does."""


def find_local(data_dir: Path) -> LocalFarm:
    """The farm of a data directory. Raises `FarmUnreachable` when none was started there."""
    path = data_dir / STATE_NAME
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        endpoint = str(state["endpoint"])
    except FileNotFoundError:
        raise FarmUnreachable(
            f"no farm runs in {data_dir}: `farm up` starts one, "
            "--endpoint or HELIOSTAT_ENDPOINT names another"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FarmUnreachable(f"{path} cannot be read ({error}): run `farm up`") from None
    if not state.get("serving", True):
        stage = state.get("stage") or "not serving yet"
        raise FarmUnreachable(f"the farm in {data_dir} is starting ({stage}): try again soon")
    return LocalFarm(
        endpoint,
        str(state.get("http", "")),
        _token(Path(str(state.get("token_file", "")))),
        Path(str(state["ca"])) if state.get("ca") else None,
        str(state.get("name", "")),
    )


def _token(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
