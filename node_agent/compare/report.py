"""The record of a comparison (docs/compare.schema.json), and its tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from node_agent.compare.clips import AskedClip
from node_agent.compare.measure import ClipLikeness, summary
from node_agent.reel.reel import Record
from node_agent.sidecar import known

FORMAT_VERSION = 1
"""Raised when a reader of the version before would misread."""


def record_of(
    profiles: tuple[str, str],
    clips: Sequence[AskedClip],
    rendered: Mapping[str, Sequence[Record]],
    likeness: Sequence[ClipLikeness],
    *,
    measured_at: str,
    command: str,
) -> dict[str, Any]:
    """All that was measured; `rendered` are the reels' records of each profile, as `clips`.

    Figures that are not there are left out: a PSNR, where nothing differs.
    """
    first = rendered[profiles[0]][0]
    spec = first.spec
    content: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "measured_at": measured_at,
        "command": command,
        "profiles": profiles,
        "model_digest": first.model_digest,
        "device": first.device,
        "stack_ids": {name: rendered[name][0].chunks[-1].stack_id for name in profiles},
        "width": spec.width,
        "height": spec.height,
        "frames": spec.frames,
        "fps": first.fps,
        "steps": first.recipe["steps"],
        "quality": spec.quality,
        "clips": [
            {
                "name": clip.name,
                "prompt": clip.prompt,
                "seed": clip.seed,
                "film": f"{clip.name}.mp4",
                "render_seconds": {
                    name: sum(chunk.seconds for chunk in rendered[name][number].chunks)
                    for name in profiles
                },
                **asdict(found),
                "signals": dict(zip(profiles, map(asdict, found.signals), strict=True)),
            }
            for number, (clip, found) in enumerate(zip(clips, likeness, strict=True))
        ],
        "summary": {name: asdict(spread) for name, spread in summary(likeness).items()},
    }
    without_gaps: dict[str, Any] = known(content)
    return without_gaps


def tables(record: dict[str, Any]) -> Iterator[Table]:
    """A table of each clip's chunks, then the clips beside each other and each by itself."""
    one, other = record["profiles"]
    for clip in record["clips"]:
        table = _table(f"{clip['name']}: {other} beside {one}", "chunk", *_FIGURES, "brighter by")
        for chunk in clip["chunks"]:
            figures = _figures(chunk)
            table.add_row(str(chunk["chunk"]), *figures, f"{chunk['brightness_levels']:+.2f}")
        yield table
    table = _table(f"{other} beside {one}", "clip", *_FIGURES, "drift dB/chunk")
    over = [
        (which, {name: spread[which] for name, spread in record["summary"].items()})
        for which in ("mean", "min")
    ]
    for name, clip in [*((clip["name"], clip) for clip in record["clips"]), *over]:
        slope = _number(clip.get("psnr_drift_db_per_chunk"), 2, sign="+")
        table.add_row(name, *_figures(clip), slope)
    yield table
    headings = (f"{name} {what}" for what in ("drift", "s") for name in (one, other))
    table = _table("each by itself", "clip", *headings)
    for clip in record["clips"]:
        drifts = (_number(clip["signals"][name].get("drift"), 3) for name in (one, other))
        seconds = (f"{clip['render_seconds'][name]:.1f}" for name in (one, other))
        table.add_row(clip["name"], *drifts, *seconds)
    yield table


_FIGURES = ("PSNR dB", "SSIM", "latents dB")


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    return table


def _figures(of: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        _number(of.get("psnr_db"), 2, "equal"),
        _number(of.get("ssim"), 4),
        _number(of.get("latents_psnr_db"), 2, "equal"),
    )


def _number(value: float | None, digits: int, absent: str = "-", sign: str = "") -> str:
    return absent if value is None else f"{value:{sign}.{digits}f}"
