"""The stock pipelines, and how a clip of ours is held against them."""

import contextlib

import numpy as np
import torch
from diffusers import HeliosPipeline, HeliosPyramidPipeline

STOCK_GAMMA = 0.3333
"""The real 1/3 makes the stock pipeline raise on a CPU; this value lets it run."""


class Stock:
    """Stock pipelines by variant, each loaded once."""

    def __init__(self, model_directory):
        self._directory = model_directory
        self._loaded = {}

    def __call__(self, variant, gamma=STOCK_GAMMA):
        if (variant, gamma) not in self._loaded:
            cls = HeliosPipeline if variant == "base" else HeliosPyramidPipeline
            pipeline = cls.from_pretrained(self._directory(variant, gamma), dtype=torch.float32)
            pipeline.set_progress_bar_config(disable=True)
            self._loaded[variant, gamma] = pipeline
        return self._loaded[variant, gamma]

    @contextlib.contextmanager
    def contiguous(self, variant):
        """A pipeline whose guidance code can call `view` on the transformer's output (Mid)."""
        pipeline = self(variant)
        hook = pipeline.transformer.register_forward_hook(
            lambda _module, _inputs, output: (output[0].contiguous(),)
        )
        with hook:
            yield pipeline


def stock_run(pipeline, spec, output_type, **options):
    return pipeline(
        prompt=spec.prompt,
        negative_prompt=spec.negative_prompt,
        height=spec.height,
        width=spec.width,
        num_frames=spec.frames,
        generator=torch.Generator("cpu").manual_seed(spec.seed),
        output_type=output_type,
        **options,
    ).frames


def stock_latents_and_pictures(pipeline, spec, **options):
    """Both of one run: pictures as `output_type="np"` gives them, from what the VAE decoded."""
    decoded, decode = [], pipeline.vae.decode

    def recorded(*arguments, **more):
        decoded.append(decode(*arguments, **more))
        return decoded[-1]

    pipeline.vae.decode = recorded
    try:
        latents = stock_run(pipeline, spec, "latent", **options)
    finally:
        del pipeline.vae.decode
    video = torch.cat([pixels for (pixels,) in decoded], dim=2)
    video = video[:, :, : (video.shape[2] - 1) // 4 * 4 + 1]
    return latents, pipeline.video_processor.postprocess_video(video, output_type="np")[0]


def assert_equal_to_stock(pipeline, renderer, spec, render, *, history_frames=0, **options):
    """Latents and pictures of all chunks; stock's latents begin with those of the input."""
    chunks = render(renderer.start(spec), spec.chunks)
    latents = np.concatenate([chunk.negative.latents for chunk in chunks], axis=2)
    stock_latents, pictures = stock_latents_and_pictures(pipeline, spec, **options)
    assert stock_latents.shape[2] == latents.shape[2] + history_frames
    assert torch.equal(torch.from_numpy(latents), stock_latents[:, :, history_frames:])

    frames = np.concatenate([chunk.frames for chunk in chunks])
    stock_frames = (pictures * 255).round().astype(np.uint8)
    assert len(frames) == spec.frames
    # The stock pipeline drops up to three frames from the end of a clip.
    assert len(stock_frames) == (spec.frames - 1) // 4 * 4 + 1
    assert np.array_equal(frames[: len(stock_frames)], stock_frames)
