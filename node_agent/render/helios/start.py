"""What an image or a video puts before a clip: an anchor and a piece of history, noised.

Everything is encoded and drawn in the order of the stock pipelines, so the latents equal theirs
bit for bit; but random numbers come from the CPU, and of a long video only the chunks that the
first chunk can see are encoded.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers.video_processor import VideoProcessor
from PIL import Image
from torch import Tensor

from node_agent.render.helios.history import CHUNK_LATENT_FRAMES, History, LatentShape
from node_agent.render.helios.inputs import Footage
from node_agent.render.helios.model import HeliosModel
from node_agent.render.helios.noise import ClipNoise
from node_agent.render.renderer import CHUNK_FRAMES, RenderSpec


@torch.inference_mode()
def from_image(
    model: HeliosModel, picture: Image.Image, spec: RenderSpec, shape: LatentShape, noise: ClipNoise
) -> History:
    """The image as the anchor, and the end of a chunk of it standing still as the history."""
    pixels = _processor(model).preprocess(picture, height=spec.height, width=spec.width)
    still = pixels.unsqueeze(2)
    anchor = _encode(model, still, noise)
    before = _encode(model, still.repeat(1, 1, CHUNK_FRAMES, 1, 1), noise)[:, :, -1:]
    anchor = _noised(anchor, noise.between(spec.image_noise), noise)
    before = _noised(before, noise.between(spec.video_noise), noise)
    return History.beginning(shape, model.device, before=before, anchor=anchor)


@torch.inference_mode()
def from_video(
    model: HeliosModel, footage: Footage, spec: RenderSpec, shape: LatentShape, noise: ClipNoise
) -> History:
    """The video's first frame as the anchor, and the end of it as the history.

    It is cut into chunks from its end; frames at the beginning that fill none are left out. Random
    numbers of chunks that nothing sees are drawn all the same, and dropped.
    """
    first = _pixels(model, [footage.first], spec)
    last = _pixels(model, footage.last, spec)
    anchor = _encode(model, first, noise)
    unseen = footage.chunks - last.shape[2] // CHUNK_FRAMES
    for _ in range(unseen):
        noise.gaussian(shape)
    seen = [_encode(model, chunk, noise) for chunk in torch.split(last, CHUNK_FRAMES, dim=2)]

    anchor = _noised(anchor, noise.between(spec.image_noise), noise)
    for _ in range(unseen):
        noise.between(spec.video_noise, (CHUNK_LATENT_FRAMES,))
        noise.gaussian(shape)
    noised = [
        _noised(chunk, noise.between(spec.video_noise, (CHUNK_LATENT_FRAMES,)), noise)
        for chunk in seen
    ]
    before = torch.cat(noised, dim=2)
    return History.beginning(shape, model.device, before=before, anchor=anchor)


def _pixels(model: HeliosModel, pictures: list[Image.Image], spec: RenderSpec) -> Tensor:
    """(1, 3, frames, height, width), -1..1."""
    video = _processor(model).preprocess_video(pictures, height=spec.height, width=spec.width)
    pixels: Tensor = video
    return pixels


def _processor(model: HeliosModel) -> Any:
    return VideoProcessor(vae_scale_factor=model.vae.config.scale_factor_spatial)


def _encode(model: HeliosModel, pixels: Tensor, noise: ClipNoise) -> Tensor:
    """Normalised latents of `pixels`, sampled from the VAE's posterior; float32."""
    posterior = model.vae.encode(pixels.to(model.device, model.vae.dtype)).latent_dist
    mean, reciprocal = model.latent_scale
    latents: Tensor = (posterior.sample(generator=noise.generator) - mean) * reciprocal
    return latents.float()


def _noised(latents: Tensor, sigma: Tensor, noise: ClipNoise) -> Tensor:
    """`latents` with `sigma` of noise, a number for all frames or one for each of them."""
    sigma = sigma.view(1, 1, -1, 1, 1).to(latents.device)
    drawn = noise.gaussian(tuple(latents.shape)).to(latents.device)
    return sigma * drawn + (1 - sigma) * latents
