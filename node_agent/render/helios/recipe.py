"""What a clip asks of its variant, checked against what the variant can do."""

from __future__ import annotations

from dataclasses import dataclass

from node_agent.models import ModelInfo
from node_agent.render.renderer import PromptError, RenderSpec

SEED_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Recipe:
    """How each chunk of a clip is denoised."""

    steps: tuple[int, ...]
    """Denoising steps per pyramid stage, coarse to fine; a single number without a pyramid."""
    guidance_scale: float
    """Above 1 each step runs twice, with the prompt and with the negative prompt."""
    amplify_first_chunk: bool
    """Twice the steps in the first chunk, which has no history to lean on (Distilled only)."""

    @property
    def guided(self) -> bool:
        """Whether the negative prompt takes part."""
        return self.guidance_scale > 1.0


def recipe_for(spec: RenderSpec, model: ModelInfo) -> Recipe:
    """Fill in the model's defaults. Raises `PromptError` for what the model cannot do."""
    default = model.default_guidance_scale
    guidance = default if spec.guidance_scale is None else spec.guidance_scale
    distilled = model.variant == "distilled"
    if distilled and guidance > 1.0:
        raise PromptError(
            f"guidance_scale {guidance:g}: a distilled model renders without guidance; leave it out"
        )
    steps = spec.steps or model.default_steps
    if len(steps) != len(model.default_steps) or min(steps) < 1:
        raise PromptError(
            f"steps {list(steps)}: a {model.variant} model takes {len(model.default_steps)} "
            f"number(s) of 1 or more, for example {list(model.default_steps)}"
        )
    _check_size(spec, stages=len(model.default_steps))
    amplify = distilled if spec.amplify_first_chunk is None else spec.amplify_first_chunk
    return Recipe(steps, guidance, amplify_first_chunk=amplify and distilled)


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
