"""`manifest.json` and `manifest.csv`: which file is which clip's, and what was said of it.

docs/manifest.schema.json is the contract with those who read them.
"""

from __future__ import annotations

import csv
import io
import json
import os
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from farm.delivery.errors import FetchFailed
from heliostat.v1 import types_pb2 as types

FORMAT: Final = 1
JSON_NAME: Final = "manifest.json"
CSV_NAME: Final = "manifest.csv"
_CSV: Final = (
    "clip", "version", "latest", "file", "review", "reviewer", "note", "frames", "fps", "width",
    "height", "seed", "size_bytes", "sha256", "model_digest", "row", "finished_at",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A take whose files are there, verified."""

    clip: str
    clip_id: str
    version: int
    latest: bool
    row: int
    file: str
    """From the folder, apart by `/`."""
    sha256: str
    size_bytes: int
    sidecar: str
    sidecar_sha256: str
    sidecar_size_bytes: int
    frames: int
    fps: int
    width: int
    height: int
    seed: int
    mode: str = ""
    quality: str = ""
    model_digest: str = ""
    finished_at: str = ""
    """ISO 8601, as below."""
    review: str = ""
    """approved, rejected, or empty."""
    reviewer: str = ""
    note: str = ""
    reviewed_at: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    mtime_ns: int = 0
    """When the files were verified, as the file system dates them."""
    sidecar_mtime_ns: int = 0

    def seen_anew(self, clip: types.Clip) -> Taken:
        """The same with what has been said since."""
        return replace(self, latest=clip.latest, **_review(clip))


def taken(clip: types.Clip, stem: str) -> Taken:
    """A finished clip's entry, its files named `stem`."""
    spec, take = clip.spec, clip.take
    return Taken(
        clip=clip.name,
        clip_id=clip.clip_id,
        version=clip.version,
        latest=clip.latest,
        row=clip.row,
        file=f"{stem}.mp4",
        sha256=take.video.sha256,
        size_bytes=take.video.size_bytes,
        sidecar=f"{stem}.json",
        sidecar_sha256=take.sidecar.sha256,
        sidecar_size_bytes=take.sidecar.size_bytes,
        frames=take.frames,
        fps=spec.fps,
        width=spec.width,
        height=spec.height,
        seed=spec.seed,
        mode=spec.mode,
        quality=spec.quality,
        finished_at=take.finished_at.ToJsonString() if take.HasField("finished_at") else "",
        columns=dict(clip.columns),
        **_review(clip),
    )


def _review(clip: types.Clip) -> dict[str, Any]:
    if not clip.HasField("review"):
        return dict.fromkeys(("review", "reviewer", "note", "reviewed_at"), "")
    review = clip.review
    return {
        "review": types.Review.Verdict.Name(review.verdict).removeprefix("VERDICT_").lower(),
        "reviewer": review.reviewer,
        "note": review.note,
        "reviewed_at": review.at.ToJsonString(),
    }


def read(directory: Path, batch_id: str) -> dict[str, Taken]:
    """The entries of a folder by clip id; none where there is no manifest yet.

    Raises `FetchFailed` when it is another batch's, or no manifest.
    """
    path = directory / JSON_NAME
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        # What earlier versions wrote names its files alone: they are verified anew.
        owner, rows = known["batch_id"], () if "files" in known else known["takes"]
        names = {each.name for each in fields(Taken)}
        entries = [
            Taken(**{name: value for name, value in row.items() if name in names}) for row in rows
        ]
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise FetchFailed(
            f"{path} is not a list of fetched takes: choose another directory"
        ) from None
    if owner != batch_id:
        raise FetchFailed(f"{directory} holds the takes of batch {owner}: choose another directory")
    return {entry.clip_id: entry for entry in entries}


def write(directory: Path, batch: types.Batch, entries: Iterable[Taken]) -> None:
    """Replace both files, each at once. Only one may do so at a time."""
    rows = sorted(entries, key=lambda entry: (entry.row, entry.clip, entry.version))
    known: dict[str, Any] = {
        "format": FORMAT,
        "batch_id": batch.batch_id,
        "batch_name": batch.name,
        "project": batch.project,
        "written_at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "takes": [asdict(row) for row in rows],
    }
    text = json.dumps(known, ensure_ascii=False, indent=1) + "\n"
    _replace(directory / JSON_NAME, text.encode())
    _replace(directory / CSV_NAME, _table(rows).encode("utf-8-sig"))


def _table(rows: list[Taken]) -> str:
    """A row for each take: ours, then the batch's own columns (`own NAME` where they meet ours)."""
    own = {name: None for row in rows for name in row.columns}
    heads = {name: f"own {name}" if name in _CSV else name for name in own}
    out = io.StringIO()
    table = csv.writer(out)
    table.writerow([*_CSV, *heads.values()])
    for row in rows:
        ours = (getattr(row, name) for name in _CSV)
        table.writerow([*ours, *(row.columns.get(name, "") for name in own)])
    return out.getvalue()


def _replace(path: Path, data: bytes) -> None:
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with part.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
