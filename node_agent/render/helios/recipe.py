"""What a clip asks of its variant, checked against what the variant can do. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from node_agent.models import ModelInfo
from node_agent.render.profiles import EXACT, PROFILES, Profile
from node_agent.render.renderer import CHUNK_FRAMES, QUALITIES, PromptError, RenderSpec

SEED_MAX = 2**63 - 1

VAES = ("float32", "bfloat16", "bfloat16-tiled", "tiny")
"""What decodes latents, the best first. `float32` is exact; `bfloat16` takes half the time, for a
PSNR of 59 dB between the two (published by Helios's authors for an A100; not measured here); in
tiles it takes less memory and more time; `tiny` is for previews, of models that come with one."""

_STEPS: Final = {
    "distilled": {"draft": 1, "standard": 2, "exact": 2},
    "mid": {"draft": 10, "standard": 20, "exact": 20},
    "base": {"draft": 25, "standard": 50, "exact": 50},
}
"""Steps of each stage by variant and quality. Distilled's 1 is the setting of the published 19.5
frames a second on one H100, 2 the one of its authors' commands; Mid's and Base's are theirs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How each chunk of a clip is denoised and decoded."""

    variant: str
    quality: str
    profile: str
    """How the card runs the model: one of `profiles.PROFILES`."""
    steps: tuple[int, ...]
    """Denoising steps per pyramid stage, coarse to fine; a single number without a pyramid."""
    guidance_scale: float
    """Above 1 each step runs twice, with the prompt and with the negative prompt."""
    amplify_first_chunk: bool
    """Twice the steps in the first chunk, which has no history to lean on (Distilled only)."""
    arithmetic: str
    """Of the transformer: `bfloat16`, on a CPU `float32`; in a lossy profile `int8` or `float8`."""
    vae: str
    """Of the decode: one of `VAES`."""

    @property
    def guided(self) -> bool:
        """Whether the negative prompt takes part."""
        return self.guidance_scale > 1.0

    def record(self) -> dict[str, Any]:
        """For sidecars and reports."""
        return asdict(self)


def preset_steps(quality: str, model: ModelInfo) -> tuple[int, ...]:
    """The steps that a quality means for a model. Raises `PromptError`."""
    if quality not in QUALITIES:
        raise PromptError(f"quality {quality!r}: choose one of {', '.join(QUALITIES)}")
    return (_STEPS[model.variant][quality],) * len(model.default_steps)


def recipe_for(
    spec: RenderSpec,
    model: ModelInfo,
    *,
    on_gpu: bool = False,
    profile: Profile = EXACT,
    tight: bool = False,
) -> Recipe:
    """Fill in the preset of the clip's quality; `tight` is a GPU that decodes in tiles.

    Raises `PromptError` for what no card can do with this model.
    """
    default = model.default_guidance_scale
    guidance = default if spec.guidance_scale is None else spec.guidance_scale
    distilled = model.variant == "distilled"
    if distilled and guidance > 1.0:
        raise PromptError(
            f"guidance_scale {guidance:g}: a distilled model renders without guidance; leave it out"
        )
    preset = preset_steps(spec.quality, model)
    steps = spec.steps or preset
    if len(steps) != len(preset) or min(steps) < 1:
        raise PromptError(
            f"steps {list(steps)}: a {model.variant} model takes {len(preset)} "
            f"number(s) of 1 or more, for example {list(preset)}"
        )
    _check_size(spec, stages=len(preset))
    _check_start(spec)
    amplify = distilled if spec.amplify_first_chunk is None else spec.amplify_first_chunk
    return Recipe(
        variant=model.variant,
        quality=spec.quality,
        steps=steps,
        guidance_scale=guidance,
        amplify_first_chunk=amplify and distilled,
        profile=profile.name,
        arithmetic=_arithmetic(profile, on_gpu=on_gpu),
        vae=_vae(spec, model, on_gpu=on_gpu, tight=tight),
    )


def as_made(recipe: Mapping[str, Any], profile: str, vae: str, *, on_gpu: bool) -> dict[str, Any]:
    """The record of a recipe with what its card really took, where it had the choice.

    Both are a chunk's; "" is not known.
    """
    made = dict(recipe)
    if profile in PROFILES:
        made |= {"profile": profile}
        made |= {"arithmetic": _arithmetic(PROFILES[profile], on_gpu=on_gpu)}
    return made | ({"vae": vae} if vae else {})


def _arithmetic(profile: Profile, *, on_gpu: bool) -> str:
    if profile.lossy:
        return profile.arithmetic
    return "bfloat16" if on_gpu else "float32"


def _vae(spec: RenderSpec, model: ModelInfo, *, on_gpu: bool, tight: bool) -> str:
    if spec.vae:
        if spec.vae not in VAES:
            raise PromptError(f"vae {spec.vae!r}: choose one of {', '.join(VAES)}")
        if spec.vae == "tiny" and not model.tiny_vae:
            raise PromptError(
                "vae tiny: this model has none; put TAEHV's taew2_1.safetensors into its folder"
                " tiny_vae and pin the model anew, or choose another VAE"
            )
        return spec.vae
    if spec.quality == "draft" and model.tiny_vae:
        return "tiny"
    if not on_gpu or spec.quality == "exact":
        return "float32"
    return "bfloat16-tiled" if tight else "bfloat16"


def _check_size(spec: RenderSpec, stages: int) -> None:
    """Each stage halves the latents (8 pixels each); the coarsest still needs whole patches."""
    unit = 16 * 2 ** (stages - 1)
    if spec.height < unit or spec.width < unit or spec.height % unit or spec.width % unit:
        raise PromptError(
            f"size {spec.width}x{spec.height}: width and height must be multiples of {unit}"
        )
    if spec.frames < 1:
        raise PromptError(f"frames {spec.frames}: a clip has at least one frame")
    if not 0 <= spec.seed <= SEED_MAX:
        raise PromptError(f"seed {spec.seed}: a seed lies between 0 and {SEED_MAX}")


def _check_start(spec: RenderSpec) -> None:
    if spec.image and spec.video:
        raise PromptError("a clip starts from an image or from a video, not from both; remove one")
    for name, (low, high) in (("image_noise", spec.image_noise), ("video_noise", spec.video_noise)):
        if not 0 <= low <= high <= 1:
            raise PromptError(f"{name} {low:g} to {high:g}: give two numbers of 0 to 1, in order")
    chunks = [mark.chunk for mark in spec.schedule]
    if chunks != sorted(set(chunks)) or any(not 0 <= chunk < spec.chunks for chunk in chunks):
        raise PromptError(
            f"schedule at chunks {chunks}: they must ascend, each once, from 0 to"
            f" {spec.chunks - 1} ({spec.frames} frames are {spec.chunks} chunks of {CHUNK_FRAMES})"
        )
