"""Tiny models, built once, and the clip that most tests render."""

import av
import numpy as np
import pytest
import torch
from PIL import Image

from node_agent.render.helios.renderer import HeliosRenderer
from node_agent.render.helios.tiny import build_tiny
from node_agent.render.renderer import RenderSpec
from tests.node.helios.stock import Stock


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


@pytest.fixture(scope="session")
def load_stock(model_directory):
    """The stock pipeline of a variant."""
    return Stock(model_directory)


def drawing(width, height, shift):
    """A picture that no two shifts share."""
    across = np.arange(width)[None, :] * 7 + shift * 11
    down = np.arange(height)[:, None] * 5 + shift * 3
    return np.stack([across + down * 0, down + across * 0, across * down // 9], axis=2) % 256


@pytest.fixture(scope="session")
def picture(tmp_path_factory):
    """A PNG of 256x128."""
    path = tmp_path_factory.mktemp("inputs") / "start.png"
    Image.fromarray(drawing(256, 128, 0).astype(np.uint8)).save(path)
    return path


@pytest.fixture(scope="session")
def footage(tmp_path_factory):
    """A lossless video of so many frames, and its pictures as decoded."""

    def film(frames):
        path = tmp_path_factory.mktemp("inputs") / f"{frames}.mkv"
        with av.open(str(path), "w") as out:
            stream = out.add_stream("ffv1", rate=24)
            stream.width, stream.height, stream.pix_fmt = 96, 96, "bgr0"
            for shift in range(frames):
                pixels = drawing(96, 96, shift).astype(np.uint8)
                out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            out.mux(stream.encode())
        with av.open(str(path)) as film:
            return path, [frame.to_image() for frame in film.decode(video=0)]

    return film
