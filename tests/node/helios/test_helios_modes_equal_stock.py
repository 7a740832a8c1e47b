"""Clips that start from an image or a video give the stock pipelines' latents, bit for bit."""

import numpy as np
import pytest
import torch
from PIL import Image

from node_agent.render.helios.renderer import HeliosRenderer
from tests.node.helios.stock import STOCK_GAMMA, assert_equal_to_stock

CHUNKS = 3
OPTIONS = {
    "distilled": {"guidance_scale": 1.0, "pyramid_num_inference_steps_list": [1, 2, 1]},
    "mid": {"guidance_scale": 5.0, "pyramid_num_inference_steps_list": [2, 2, 2]},
    "base": {"guidance_scale": 5.0, "num_inference_steps": 2},
}
STEPS = {"distilled": (1, 2, 1), "mid": (2, 2, 2), "base": (2,)}


@pytest.fixture(params=list(OPTIONS))
def variant(request):
    return request.param


@pytest.fixture
def against_stock(load_stock, model_directory, spec, render):
    """Compare a clip of a variant with the stock pipeline, given what each calls its options."""

    def compare(variant, ours, theirs, history_frames):
        renderer = HeliosRenderer(model_directory(variant, STOCK_GAMMA))
        clip = spec(frames=33 * CHUNKS, steps=STEPS[variant], amplify_first_chunk=False, **ours)
        with load_stock.contiguous(variant) as pipeline:
            assert_equal_to_stock(
                pipeline, renderer, clip, render,
                history_frames=history_frames, **OPTIONS[variant], **theirs,
            )  # fmt: skip

    return compare


def test_from_an_image(variant, against_stock, picture):
    ours = {"image": str(picture), "width": 128}
    theirs = {"image": Image.open(picture).convert("RGB")}
    against_stock(variant, ours, theirs, history_frames=1)


@pytest.mark.parametrize(
    ("variant", "frames"),
    [("distilled", 33), ("distilled", 70), ("distilled", 150), ("mid", 70), ("base", 70)],
)
def test_from_a_video(variant, against_stock, footage, frames):
    """One chunk, two of a video that leaves frames over, and more than a clip can see.

    How much is kept is the same for every variant; how it is noised and guided is not.
    """
    path, pictures = footage(frames)
    latent_frames = frames // 33 * 9
    against_stock(variant, {"video": str(path)}, {"video": pictures}, latent_frames)


@pytest.mark.parametrize("start", ["image", "text"])
def test_skipping_the_first_chunk(against_stock, picture, start):
    """The anchor moves to the first frame of the second chunk."""
    ours = {"skip_first_chunk": True}
    theirs = {"is_skip_first_chunk": True}
    if start == "image":
        ours |= {"image": str(picture), "width": 128}
        theirs |= {"image": Image.open(picture).convert("RGB")}
    against_stock("distilled", ours, theirs, history_frames=int(start == "image"))


def test_the_noise_on_an_image(against_stock, picture):
    ours = {
        "image": str(picture), "width": 128,
        "image_noise": (0.0, 0.05), "video_noise": (0.2, 0.4),
    }  # fmt: skip
    theirs = {
        "image": Image.open(picture).convert("RGB"),
        "image_noise_sigma_min": 0.0, "image_noise_sigma_max": 0.05,
        "video_noise_sigma_min": 0.2, "video_noise_sigma_max": 0.4,
    }  # fmt: skip
    against_stock("distilled", ours, theirs, history_frames=1)


def test_an_amplified_first_chunk_after_an_image(
    load_stock, model_directory, spec, render, picture
):
    clip = spec(frames=66, steps=(2, 2, 2), image=str(picture), width=128, amplify_first_chunk=True)
    assert_equal_to_stock(
        load_stock("distilled"),
        HeliosRenderer(model_directory("distilled", STOCK_GAMMA)),
        clip,
        render,
        history_frames=1,
        image=Image.open(picture).convert("RGB"),
        guidance_scale=1.0,
        pyramid_num_inference_steps_list=[2, 2, 2],
        is_amplify_first_chunk=True,
    )


def test_a_schedule_blends_as_its_authors_do(renderer, spec, render):
    """diffusers has no schedule: each chunk must look at what the authors' formula blends."""
    from node_agent.render.renderer import PromptMark

    second = PromptMark(chunk=2, prompt="Night falls over the snow.", blend_chunks=3)
    clip = renderer.start(spec(frames=33 * 6, schedule=(second,)))
    old, _ = renderer._prompts.encode(clip.spec.prompt)
    new, _ = renderer._prompts.encode(second.prompt)
    weights = [None, None, 0.0, 0.5, 1.0, 1.0]
    for chunk, weight in enumerate(weights):
        expected = old if weight is None else torch.lerp(old, new, torch.tensor(weight))
        keys = renderer._model.projections.keys(expected, tokens=511)
        for block in range(2):
            for ours, theirs in zip(
                clip._track.keys(chunk).whole(block), keys.whole(block), strict=True
            ):
                assert torch.equal(ours, theirs), chunk
    plain = render(renderer.start(spec(frames=33 * 6)), 4)
    turned = render(clip, 4)
    same = [np.array_equal(a.frames, b.frames) for a, b in zip(plain, turned, strict=True)]
    assert same == [True, True, True, False]
