"""What the demo measured, from the sidecars of the clips that it fetched."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from farm.domain.clip import Work
from farm.fleet_ray.model_shape import model_shape
from farm.plan.economics import H100, h100_equivalents, like_for_like


def sidecars(folder: Path) -> list[dict[str, Any]]:
    """Every sidecar that `farm fetch` wrote into a folder, in the order of the submitted rows."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")]
    return sorted((each for each in found if "take_sha256" in each), key=lambda each: each["row"])


def summarise(clips: Path, model: Path, render_seconds: float) -> dict[str, Any]:
    """The summary of a folder of clips; `render_seconds` is from submission to the last take."""
    known = sidecars(clips)
    frames = sum(facts["frames"] for facts in known)
    fps = frames / render_seconds
    return {
        "clips": len(known),
        "frames": frames,
        "render_seconds": round(render_seconds, 2),
        "frames_per_second": round(fps, 3),
        "h100": against_h100(fps, known[0], model),
        "chunk_seconds": chunk_seconds(known),
        "cards": per_card(known),
        "takes": [
            {
                "name": facts["clip_name"],
                "frames": facts["frames"],
                "seed": facts["seed"],
                "attempts": facts["attempts"],
                "sha256": facts["take_sha256"],
            }
            for facts in known
        ],
    }


def against_h100(fps: float, facts: dict[str, Any], model: Path) -> dict[str, Any]:
    """H100 equivalents of a frame rate, like for like: the published rate scaled to this work."""
    shape = model_shape(model)
    assert shape is not None
    work = Work(facts["height"], facts["width"], tuple(facts["steps"]))
    same = like_for_like(H100, shape, work)
    equivalents = h100_equivalents(fps, work, shape)
    return {
        "equivalents": equivalents.value,
        "basis": equivalents.basis.value,
        "formula": "frames_per_second / baseline_frames_per_second",
        "baseline_frames_per_second": same.frames_per_second,
        "baseline_source": same.source,
        "published_frames_per_second": H100.frames_per_second,
        "published_work": f"{H100.work.width}x{H100.work.height}, steps {list(H100.work.steps)}",
    }


def chunk_seconds(known: list[dict[str, Any]]) -> dict[str, float]:
    """Render times of all chunks."""
    times = sorted(chunk["render_seconds"] for facts in known for chunk in facts["chunks"])
    return {
        "chunks": len(times),
        "shortest": round(times[0], 3),
        "median": round(statistics.median(times), 3),
        "longest": round(times[-1], 3),
    }


def per_card(known: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What each card rendered, by the chunks' own records."""
    frames: dict[str, int] = defaultdict(int)
    seconds: dict[str, float] = defaultdict(float)
    for facts in known:
        for chunk in facts["chunks"]:
            frames[chunk["card_id"]] += chunk["frames"]
            seconds[chunk["card_id"]] += chunk["render_seconds"]
    return [
        {
            "card": card,
            "frames": frames[card],
            "render_seconds": round(seconds[card], 2),
            "frames_per_second": round(frames[card] / seconds[card], 3),
        }
        for card in sorted(frames)
    ]


def show(summary: dict[str, Any], place: Path) -> None:
    """The summary as a table."""
    h100, chunk = summary["h100"], summary["chunk_seconds"]
    table = Table(title="What the demo measured on this machine", show_header=False)
    table.add_row("clips, frames", f"{summary['clips']} clips, {summary['frames']} frames")
    table.add_row("from submission to the last take", f"{summary['render_seconds']:.1f} s")
    table.add_row("aggregate", f"{summary['frames_per_second']:.2f} frames/s")
    table.add_row(
        "H100 equivalents",
        f"{h100['equivalents']:.2e} ({h100['basis']}): the same small model would give"
        f" {h100['baseline_frames_per_second']:,.0f} frames/s on an H100, scaled by TFLOP per frame"
        f" from the published {h100['published_frames_per_second']} at {h100['published_work']}",
    )
    table.add_row(
        "chunk of 33 frames",
        f"{chunk['median']:.2f} s median, {chunk['shortest']:.2f} to {chunk['longest']:.2f} s"
        f" over {chunk['chunks']} chunks",
    )
    for card in summary["cards"]:
        table.add_row(
            card["card"],
            f"{card['frames']} frames in {card['render_seconds']:.1f} s of rendering,"
            f" {card['frames_per_second']:.2f} frames/s",
        )
    table.add_row("start to end", f"{summary['seconds_in_all']:.0f} s")
    console = Console()
    console.print(table)
    found = ("clips/", "contact-sheet.png", "summary.json")
    console.print("   ".join(f"{place}/{name}" for name in found), soft_wrap=True)
