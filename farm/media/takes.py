"""The takes of a folder that `farm fetch` filled, by their sidecars and its manifest.

A sidecar says how its take was made; what people said of it afterwards stands in the manifest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from farm.delivery.manifest import JSON_NAME
from farm.media.errors import BadDelivery


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """A film and what is known of it."""

    path: Path
    clip_id: str
    name: str
    version: int
    row: int
    """Of the submitted file."""
    project: str
    batch: str
    """The batch's name."""
    batch_id: str
    columns: Mapping[str, str]
    prompt: str
    seed: int
    frames: int
    fps: int
    width: int
    height: int
    model: str
    """Digest; empty for a renderer without a model."""
    sha256: str
    date: str
    """ISO 8601 day on which it was finished, or fetched where that is not known."""
    verdict: str = ""
    """approved, rejected, or nothing."""

    @property
    def label(self) -> str:
        """Name and version, as people write them."""
        return f"{self.name} v{self.version:03}"

    def value(self, name: str) -> str:
        """What a label asks for: one of our words, or a column of the batch's own."""
        if name == "version":
            return f"v{self.version:03}"
        if name in ("shot", "clip", "name", "id"):
            return self.columns.get(name, self.name)
        if name in _OURS:
            return str(getattr(self, name))
        return self.columns.get(name, "")


_OURS = ("seed", "prompt", "frames", "fps", "project", "batch", "verdict", "date", "model", "row")


def takes_of(
    folder: Path, *, approved: bool = False, every_version: bool = False, order: str = "row"
) -> list[Take]:
    """The takes below a folder, of each clip the latest version, or the latest approved one.

    `order` is what they are sorted by: `row` of the submitted file, `name`, or a column. Raises
    `BadDelivery` when there is none.
    """
    if not folder.is_dir():
        raise BadDelivery(
            f"{folder} is no folder: `farm fetch BATCH {folder}` fills one with takes"
        )
    found = list(_found(folder))
    if approved:
        found = [take for take in found if take.verdict == "approved"]
    if not every_version:
        found = _latest(found)
    if not found:
        wanted = "approved takes" if approved else "takes with their sidecars"
        remedy = "`farm review` approves takes" if approved else "`farm fetch` brings both"
        raise BadDelivery(f"{folder}: no {wanted} there; {remedy}")
    if order not in ("row", "name", *_OURS) and not any(order in t.columns for t in found):
        columns = ", ".join(sorted({name for take in found for name in take.columns})) or "none"
        raise BadDelivery(f"no take has a column {order!r}: columns are {columns}")
    return sorted(found, key=lambda take: (natural(take.value(order)), take.name, take.version))


def natural(text: str) -> tuple[tuple[int, str], ...]:
    """A sort key by which sh9 comes before sh10."""
    parts = re.findall(r"([0-9]*)([^0-9]*)", text.casefold())
    return tuple((int(digits or 0), rest) for digits, rest in parts)


def _found(folder: Path) -> Iterator[Take]:
    """Those of the manifest; where there is none, whatever has a sidecar beside it."""
    manifest = folder / JSON_NAME
    listed = _json(manifest) if manifest.is_file() else {}
    if isinstance(listed, dict) and "takes" in listed:
        for entry in listed["takes"]:
            film, sidecar = folder / entry["file"], folder / entry["sidecar"]
            missing = next((path for path in (film, sidecar) if not path.is_file()), None)
            if missing is not None:
                raise BadDelivery(f"{missing} is missing: fetch again, the rest stays")
            yield _take(film, {**_json(sidecar), **_said(entry, listed)})
        return
    for path in sorted(folder.rglob("*.json")):
        film = path.with_suffix(".mp4")
        if path != manifest and film.is_file():
            facts = _json(path)
            if isinstance(facts, dict) and "take_sha256" in facts:
                yield _take(film, facts)


def _said(entry: Mapping[str, Any], manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What the manifest says, in the sidecar's words: it counts where a take is another clip's."""
    names = {
        "clip": "clip_name", "clip_id": "clip_id", "version": "version", "row": "row",
        "columns": "columns", "review": "review", "finished_at": "finished_at",
    }  # fmt: skip
    said = {ours: entry[theirs] for theirs, ours in names.items() if theirs in entry}
    whole = {name: manifest[name] for name in ("batch_id", "batch_name", "project")}
    return said | whole


def _take(film: Path, facts: Mapping[str, Any]) -> Take:
    try:
        return Take(
            path=film,
            clip_id=facts["clip_id"],
            name=facts["clip_name"],
            version=facts["version"],
            row=facts["row"],
            project=facts["project"],
            batch=facts["batch_name"],
            batch_id=facts["batch_id"],
            columns=facts["columns"],
            prompt=facts["prompt"],
            seed=facts["seed"],
            frames=facts["frames"],
            fps=facts["fps"],
            width=facts["width"],
            height=facts["height"],
            model=facts["model_digest"],
            sha256=facts["take_sha256"],
            date=facts.get("finished_at", "")[:10] or _day(film),
            verdict=facts.get("review", ""),
        )
    except KeyError as error:
        sidecar = film.with_suffix(".json")
        raise BadDelivery(f"{sidecar}: no {error} in it; fetch it again") from None


def _latest(takes: Iterable[Take]) -> list[Take]:
    latest: dict[tuple[str, str], Take] = {}
    for take in takes:
        known = latest.get((take.batch_id, take.name))
        if known is None or known.version < take.version:
            latest[take.batch_id, take.name] = take
    return list(latest.values())


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise BadDelivery(f"{path} is no JSON: fetch it again") from None


def _day(path: Path) -> str:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).date().isoformat()
