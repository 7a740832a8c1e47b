"""The clips of a comparison: each prompt with each seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class AskedClip:
    """What is rendered once with each profile."""

    name: str
    """As its files are called: `prompt-01-seed-7`."""
    prompt: str
    seed: int


def asked_clips(prompts: Sequence[str], seeds: Sequence[int]) -> list[AskedClip]:
    """Each prompt with each seed; one that comes twice is taken once."""
    found = []
    for number, prompt in enumerate(dict.fromkeys(prompts), 1):
        for seed in dict.fromkeys(seeds):
            found.append(AskedClip(f"prompt-{number:02}-seed-{seed}", prompt, seed))
    return found


def read_prompts(path: Path) -> list[str]:
    """A file's lines that are not empty, each a prompt. Raises ValueError, OSError."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8; save it so, a prompt on each line") from None
    prompts = [line for line in lines if line]
    if not prompts:
        raise ValueError(f"{path} holds no prompt; write one on each line")
    return prompts
