"""The golden chunk: one prompt and seed, rendered again and again, and what it should look like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from node_agent.burnin.errors import GoldenError
from node_agent.files import atomic_path
from node_agent.quality import likeness
from node_agent.render.renderer import CHUNK_FRAMES, Frames, RenderSpec

PROMPT = (
    "A lighthouse keeper climbs a spiral staircase by lantern light, shadows turning on the "
    "whitewashed wall, dust in the air, the sea seen through a small window."
)
SEED = 20_210_607


@dataclass(frozen=True, slots=True)
class ChunkResult:
    """A chunk that was just rendered."""

    frames: Frames
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What made a golden chunk."""

    model_digest: str
    stack_id: str
    size: str
    """Width and height, as `640x384`."""
    prompt: str = PROMPT
    seed: str = str(SEED)

    @property
    def profile(self) -> str:
        """How the model is run, the stack id's last part: references of two are not compared."""
        return self.stack_id.rpartition(",")[2]


@dataclass(frozen=True, slots=True)
class Reference:
    """A golden chunk to compare with."""

    frames: Frames
    origin: Origin


def golden_spec(width: int, height: int) -> RenderSpec:
    """The clip of the golden chunk, one chunk long."""
    return RenderSpec(
        clip_id="golden",
        prompt=PROMPT,
        frames=CHUNK_FRAMES,
        width=width,
        height=height,
        seed=SEED,
    )


def file_name(origin: Origin) -> str:
    """The reference's usual name."""
    return f"golden-{origin.profile}.safetensors"


def save(path: Path, reference: Reference) -> None:
    """Write a reference, whole or not at all. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        save_file(
            {"frames": np.ascontiguousarray(reference.frames)},
            temporary,
            metadata=asdict(reference.origin),
        )


def load(path: Path, origin: Origin, *, any_profile: bool = False) -> Reference | None:
    """The reference at `path` for chunks of `origin`; None where there is no file.

    It may come from another stack, not from another model or clip; from another profile only with
    `any_profile`. Raises `GoldenError`.
    """
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            metadata: Mapping[str, str] = file.metadata() or {}
            made = Origin(**{each.name: metadata[each.name] for each in fields(Origin)})
            frames = file.get_tensor("frames")
    except (KeyError, OSError, SafetensorError) as error:
        raise GoldenError(
            f"{path}: not a golden chunk ({error}); make it again with --make-reference"
        ) from error
    for what, theirs, ours in (
        ("model", made.model_digest, origin.model_digest),
        ("size", made.size, origin.size),
        ("prompt", made.prompt, origin.prompt),
        ("seed", made.seed, origin.seed),
        ("profile", made.profile, origin.profile),
    ):
        if theirs != ours and not (any_profile and what == "profile"):
            raise GoldenError(
                f"{path}: made of another {what} ({theirs}, here {ours}); name another --reference,"
                " or make it again with --make-reference"
            )
    return Reference(frames, made)


def psnr_db(frames: Frames, reference: Frames) -> float | None:
    """Peak signal to noise ratio over all pixels, dB; None where every byte is equal.

    Frames of different shapes have nothing in common: 0 dB.
    """
    if frames.shape != reference.shape:
        return 0.0
    pairs = zip(frames, reference, strict=True)  # a frame at a time: memory stays small
    return likeness.psnr_db(sum(likeness.squares(*pair) for pair in pairs) / frames.size)
