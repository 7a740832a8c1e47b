"""A transformer that had learned the pyramid's lines by heart would render the clip itself."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from diffusers import HeliosScheduler

from node_agent.render.helios.noise import ClipNoise
from node_agent.render.helios.stages import denoise_pyramid
from tools.mini.pyramid import build_schedule, halved, line, time_of

SHAPE = (1, 16, 9, 16, 16)


class Oracle:
    """Knows the clean latents, and answers with the velocity of the line that it is asked about."""

    def __init__(self, schedule, clean):
        self.lanes, self._schedule, self._clean = [0], schedule, clean
        self._noise = ClipNoise(3)
        self.asked = []

    def left(self, *tensors):
        return list(tensors)

    def draw(self, number):
        return number(self._noise)

    def velocity(self, latents, time, *, first_steps=False):
        stage = {4: 0, 8: 1, 16: 2}[latents.shape[-1]]
        on = line(self._schedule, stage, self._clean)
        step = int((self._schedule.timesteps.long() - time).abs().argmin())
        sigma = self._schedule.sigmas[step].float()
        assert abs(time_of(self._schedule, stage, sigma) - time) <= 1  # which is cut to a whole one
        self.asked.append(stage)
        clean = on.at(sigma, torch.zeros_like(latents))
        noise = (latents - clean) / (sigma * on.start + (1 - sigma) * on.end)
        return on.velocity(noise)


@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("distilled", [True, False])
def test_the_pipeline_follows_the_lines_to_the_clean_latents(steps, distilled):
    schedule = build_schedule() if distilled else HeliosScheduler(use_dynamic_shifting=True)
    torch.manual_seed(0)
    coarse = torch.randn(1, 16, 9, 4, 4)
    clean = torch.nn.functional.interpolate(coarse, scale_factor=(1, 4, 4))
    clean = clean + 0.3 * torch.randn(SHAPE)
    model = SimpleNamespace(
        schedule=schedule,
        distilled=distilled,
        card=SimpleNamespace(bring=lambda each: each),
        transformer=SimpleNamespace(
            config=SimpleNamespace(patch_size=(1, 2, 2)), dtype=torch.float32
        ),
    )
    oracle = Oracle(schedule, clean)
    found = denoise_pyramid(model, oracle, SHAPE, (steps,) * 3, amplify=False)
    assert oracle.asked == [0] * steps + [1] * steps + [2] * steps
    assert (found - clean).abs().max() < 0.02


def test_lines_of_neighbouring_stages_meet():
    """Enlarged and with block noise, where one ends is as noisy as where the next begins."""
    schedule = build_schedule()
    clean = torch.randn(SHAPE)
    for stage in (1, 2):
        before, after = line(schedule, stage - 1, clean), line(schedule, stage, clean)
        assert torch.allclose(halved(after.clean), before.clean, atol=1e-6)
        assert after.start > before.end
