"""A folder as `farm fetch` leaves it, with real small films and their sidecars."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from node_agent.encode import assemble, encode_segment

WIDTH, HEIGHT = 128, 64


@dataclass
class Folder:
    """What was fetched of a batch."""

    path: Path
    entries: list[dict[str, Any]] = field(default_factory=list)

    def add(self, name: str, **facts: Any) -> Path:
        """A take of one colour whose middle frame alone is bright."""
        version = facts.pop("version", 1)
        frames, fps = facts.pop("frames", 9), facts.pop("fps", 24)
        colour = facts.pop("colour", (200, 30, 60))
        film = self.path / f"{name}_v{version:03}.mp4"
        film.parent.mkdir(parents=True, exist_ok=True)
        write_film(film, colour, frames, fps)
        sha256 = hashlib.sha256(film.read_bytes()).hexdigest()
        about = {
            "clip_id": f"b-{len(self.entries) + 1:05}",
            "version": version,
            "row": len(self.entries) + 2,
            "frames": frames,
            "fps": fps,
            "width": WIDTH,
            "height": HEIGHT,
            "seed": facts.pop("seed", 7),
            "columns": facts.pop("columns", {}),
        }
        shared = {"project": "show", "batch_id": "b", "batch_name": "night shots"}
        sidecar = about | shared | {"clip_name": name, "prompt": facts.pop("prompt", "A fox.")}
        sidecar |= {"model_digest": "ab" * 32, "take_sha256": sha256}
        film.with_suffix(".json").write_text(json.dumps(sidecar))
        place = film.relative_to(self.path)
        self.entries.append(
            about
            | {"clip": name, "file": str(place), "sidecar": str(place.with_suffix(".json"))}
            | {"review": "", "finished_at": "2026-11-30T07:00:00Z"}
            | facts
        )
        manifest = {"format": 1, **shared, "takes": self.entries}
        (self.path / "manifest.json").write_text(json.dumps(manifest))
        return film

    def hashes(self) -> dict[str, str]:
        """Every take's bytes."""
        return {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self.path.glob("*.mp4"))
        }


def write_film(path: Path, colour: tuple[int, int, int], frames: int, fps: int) -> None:
    """As the farm's cards make them."""
    pictures = np.zeros((frames, HEIGHT, WIDTH, 3), np.uint8)
    pictures[:] = np.array(colour, np.uint8) // 4
    pictures[frames // 2] = colour
    pictures[:, :, :8] = np.arange(frames, dtype=np.uint8).reshape(-1, 1, 1, 1) * 7  # no two alike
    segment = encode_segment(pictures, start_frame=0, fps=fps)
    init, media = path.with_suffix(".init"), path.with_suffix(".m4s")
    init.write_bytes(segment.init)
    media.write_bytes(segment.media)
    assemble(init, [media], path, frames=frames, fps=fps)
    init.unlink()
    media.unlink()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    place = tmp_path / "takes"
    place.mkdir()
    return Folder(place)
