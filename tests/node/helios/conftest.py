"""Tiny models, built once, and the clip that most tests render."""

import numpy as np
import pytest
import torch

from node_agent.render.helios.renderer import HeliosRenderer
from node_agent.render.helios.tiny import build_tiny
from node_agent.render.renderer import RenderSpec


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """The stock pipelines are compared on the thread count that the renderer sets."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def model_directory(tmp_path_factory):
    """Directory of a tiny model by variant and gamma; each is built once."""
    built = {}

    def directory(variant="distilled", gamma=1 / 3):
        if (variant, gamma) not in built:
            path = tmp_path_factory.mktemp("models") / f"{variant}-{gamma:.4f}"
            build_tiny(path, variant=variant, gamma=gamma)
            built[variant, gamma] = path
        return built[variant, gamma]

    return directory


@pytest.fixture(scope="session")
def renderer(model_directory):
    """A renderer over the default tiny model, shared: clips do not touch each other."""
    return HeliosRenderer(model_directory())


@pytest.fixture(scope="session")
def spec():
    """Build the spec of a small, quick clip, with what the test wants different."""

    def build(**different):
        fields = {
            "clip_id": "fox",
            "prompt": "A red fox runs  through snow &amp; ice, seen from a drone.",
            "negative_prompt": "blurred, static",
            "frames": 99,
            "height": 64,
            "width": 64,
            "seed": 42,
            "steps": (1, 1, 1),
        }
        return RenderSpec(**{**fields, **different})

    return build


@pytest.fixture(scope="session")
def render():
    """Render the rest of a clip; gives its chunks."""

    def rest(clip, chunks):
        return [clip.step(lambda: False) for _ in range(clip.next_chunk, chunks)]

    return rest


@pytest.fixture
def assert_equal_chunks():
    """Compare chunks to the last bit: frames, latents and random state."""

    def check(ours, theirs):
        assert [chunk.index for chunk in ours] == [chunk.index for chunk in theirs]
        for one, other in zip(ours, theirs, strict=True):
            assert np.array_equal(one.frames, other.frames)
            assert np.array_equal(one.negative.latents, other.negative.latents)
            assert one.negative.generator_state == other.negative.generator_state

    return check
