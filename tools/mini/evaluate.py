"""How much of what was asked for a model shows: held-out captions, rendered and judged."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from node_agent.models import load_manifest
from node_agent.render.helios.renderer import HeliosRenderer

from .judge import Shown, read_chunks
from .renders import (
    LANES,
    SWITCH,
    Ask,
    How,
    drawn,
    held_out_asks,
    picture_asks,
    rendered,
    switch_asks,
)
from .score import Told, means, record, rows, table
from .seams import drift, seam_jump
from .world import Pictures

KINDS = ("text", "picture", "switch", "vae")
"""Clips from captions alone, from first pictures with them, and with a change of prompt; and drawn
ones that only the VAE has changed."""


def evaluate(model: Path, out: Path, *, kind: str, captions: int, seed: int, how: How) -> str:
    """Render and judge into `evaluation.json` and `evaluation.md` of `out`; returns the latter.

    What was judged is kept in `clips.jsonl`: the same command goes on after the last of it.
    Raises ValueError where `out` has the clips of something else, or clips end before the switch.
    """
    if kind == "switch" and how.chunks <= SWITCH:
        raise ValueError(f"the caption changes at chunk {SWITCH + 1}: render that many, or more")
    out.mkdir(parents=True, exist_ok=True)
    asked = {
        "model": load_manifest(model).digest,
        "kind": kind,
        "captions": captions,
        "seed": seed,
        **json.loads(json.dumps(asdict(how))),
    }
    told = out / "asked.json"
    if told.exists() and json.loads(told.read_text(encoding="utf-8")) != asked:
        raise ValueError(f"{out}: has the clips of another evaluation; name another folder")
    told.write_text(json.dumps(asked, indent=2) + "\n", encoding="utf-8")
    asks = {
        "text": lambda: held_out_asks(captions, seed),
        "picture": lambda: picture_asks(captions, seed, how.size, out / "pictures"),
        "switch": lambda: switch_asks(captions, seed),
        "vae": lambda: held_out_asks(captions, seed),
    }[kind]()
    clips = _judged(model, out / "clips.jsonl", asks, how, kind)

    windows = [(0, 1), (0, 2), *([(how.chunks - 1, how.chunks)] if how.chunks > 2 else [])]
    if kind == "switch":
        windows = [(chunk, chunk + 1) for chunk in range(SWITCH - 1, how.chunks)]
    found, numbers = rows(clips, windows), means(clips)
    document = {"asked": asked, **record(found, numbers)}
    (out / "evaluation.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    text = table(found, numbers)
    (out / "evaluation.md").write_text(text, encoding="utf-8")
    return text


def judged(ask: Ask, pictures: Pictures) -> Told:
    """What a clip shows, chunk by chunk."""
    chunks = read_chunks(pictures)
    ground, colour = drift(chunks[0], chunks[-1])
    return Told(ask.content, chunks, seam_jump(pictures), ground, colour)


def _judged(model: Path, path: Path, asks: list[Ask], how: How, kind: str) -> list[Told]:
    done = _kept(path, len(asks))
    made = partial(drawn, model) if kind == "vae" else partial(rendered, HeliosRenderer(model))
    todo = asks[len(done) :]
    while todo:
        some, todo = todo[:LANES], todo[LANES:]
        fresh = [judged(ask, pictures) for ask, pictures in made(some, how)]
        with path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(asdict(told)) + "\n" for told in fresh)
        done += fresh
        print(f"{len(done)} of {len(asks)} clips", flush=True)
    return done


def _kept(path: Path, wanted: int) -> list[Told]:
    """What an earlier run judged, in whole groups: lanes in other company differ in the last bit.

    A group that a kill has cut short is taken out of the file.
    """
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    whole = sum(line.endswith("\n") for line in lines)
    lines = lines[: whole if whole == wanted else whole // LANES * LANES]
    path.write_text("".join(lines), encoding="utf-8")
    return [_told(json.loads(line)) for line in lines]


def _told(fields: dict[str, Any]) -> Told:
    shape, colour, ground, motion = fields.pop("content")
    chunks = [
        Shown(**chunk | {key: chunk[key] and tuple(chunk[key]) for key in _TRIPLES})
        for chunk in fields.pop("chunks")
    ]
    return Told((shape, colour, ground, motion), chunks, **fields)


_TRIPLES = ("ground_rgb", "colour_rgb")
