"""A small `AutoencoderKLWan`, trained on pictures first, then on short films, on chunks, and last
on where two of them meet.

Its posterior is fixed and narrow: what is learned is a plain autoencoder whose latents bear noise.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own custom
from diffusers import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_kl_wan import (
    WanCausalConv3d,
    WanResample,
    unpatchify,
)
from torch import Tensor, nn

from .captions import training_scene
from .learner import Learner, numbers
from .plan import Plan
from .world import Pictures, draw

STAGE = 1
"""Of the random numbers."""
VAE_STAGES = {"pictures": 0, "films": 1, "chunks": 2, "decoder": 3, "seams": 5}
"""Each with its number for what is drawn at random."""
NORMALISING = 4
"""The same, of `normalise`."""
LATENT_CHANNELS = 16
LOG_VARIANCE = -8.0
"""Of the posterior as it is exported: who encodes a picture gets nearly its mean."""
TRAINING_NOISE = 0.04
"""Spread of the noise on latents while training: a decoder that forgives the transformer."""
SPREAD_WEIGHT = 2e-3
"""Of the latents' mean square in the loss, which keeps them near a spread of 1."""
SHAPE_WEIGHT = 3.0
"""Further weight of pixels of the shape, a tenth of the picture, in the loss."""
SEAM_WEIGHT = 2.0
"""Of what is wrong with the change from a chunk's last frame to the next one's first."""
NORMALISING_SCENES = 24


class StillsQuickly(WanCausalConv3d):  # type: ignore[misc]
    """The stock convolution, which sees nothing but zeros before a clip's first picture."""

    def forward(self, x: Tensor, cache_x: Tensor | None = None) -> Tensor:
        """Of a first picture: the same numbers from the last tap alone, at a fifth of the time."""
        if cache_x is None and x.shape[2] == 1 and self.kernel_size[0] == 3 and self._padding[4]:
            rows = F.conv2d(x[:, :, 0], self.weight[:, :, 2], self.bias, padding=self._padding[0])
            return rows.unsqueeze(2)
        out: Tensor = super().forward(x, cache_x)
        return out


def build_vae(width: int) -> AutoencoderKLWan:
    """4x8x8 compression as in Helios, `width` channels at half resolution; random weights."""
    vae = AutoencoderKLWan(
        base_dim=width,
        z_dim=LATENT_CHANNELS,
        dim_mult=[1, 2, 4],
        num_res_blocks=1,
        attn_scales=[],
        temperal_downsample=[True, True],
        in_channels=12,
        out_channels=12,
        patch_size=2,
        latents_mean=[0.0] * LATENT_CHANNELS,
        latents_std=[1.0] * LATENT_CHANNELS,
    )
    with torch.no_grad():
        for module in vae.modules():
            if isinstance(module, WanCausalConv3d) and module.weight.shape[2] == 3:
                module.__class__ = StillsQuickly
                module.weight[:, :, :2] = 0  # a single picture sees the last tap only
                module.weight[:, :, 2] *= math.sqrt(3)
            if isinstance(module, WanResample) and hasattr(module, "time_conv"):
                _pass_through(module.time_conv)
        vae.quant_conv.weight[LATENT_CHANNELS:] = 0
        vae.quant_conv.bias[LATENT_CHANNELS:] = LOG_VARIANCE
    return vae


def _pass_through(time_conv: nn.Conv3d) -> None:
    """Every frame that comes out is the last that went in."""
    nn.init.zeros_(time_conv.weight)
    if time_conv.bias is not None:
        nn.init.zeros_(time_conv.bias)
    for out in range(time_conv.out_channels):
        time_conv.weight[out, out % time_conv.in_channels, -1] = 1


def train_vae(vae: AutoencoderKLWan, learner: Learner, plan: Plan, kind: str) -> float:
    """One step of one of `VAE_STAGES`; the loss that it began from.

    What is decoded leans on what came before, so a decoder that has seen short films alone loses
    its colours in the middle of a chunk.
    """
    rng, generator = numbers(plan.seed, STAGE, VAE_STAGES[kind], learner.step)
    count = plan.pictures if kind == "pictures" else plan.films
    chunk = plan.chunk_frames
    frames = {"pictures": 1, "films": plan.film_frames, "seams": chunk + 1}.get(kind, chunk)
    clips = []
    for _ in range(count):
        first = int(rng.integers(0, 132))
        clips.append(draw(training_scene(rng), range(first, first + frames), plan.vae_size))
    seen = torch.stack([to_video(clip) for clip in clips])
    latents = [encode(vae, part) for part in torch.split(seen, chunk, dim=2)]
    noises = [torch.randn(each.shape, generator=generator) * TRAINING_NOISE for each in latents]
    decoded = [
        decode_unclamped(vae, each + noise) for each, noise in zip(latents, noises, strict=True)
    ]
    border = torch.stack([video[:, :, :1, :1] for video in seen])
    weight = 1 + SHAPE_WEIGHT * ((seen - border).abs().amax(1, keepdim=True) > 0.05)
    wrong = torch.cat(decoded, dim=2) - seen
    loss = (weight * _distance(wrong)).mean()
    if kind == "seams":
        change = wrong[:, :, chunk] - wrong[:, :, chunk - 1]
        loss = loss + SEAM_WEIGHT * (weight[:, :, chunk] * _distance(change)).mean()
    return learner.learn(loss + SPREAD_WEIGHT * torch.cat(latents, dim=2).square().mean())


def _distance(wrong: Tensor) -> Tensor:
    return wrong.square() + 0.4 * wrong.abs()


def decoder_learner(vae: AutoencoderKLWan, rate: float, steps: int) -> Learner:
    """What goes on with the decoder alone; latents stay as they are, for others to learn from."""
    parts = {"decoder": vae.decoder, "post": vae.post_quant_conv}
    for part in parts.values():
        part.requires_grad_(requires_grad=True)
    return Learner(parts, rate=rate, warm_up=40, steps=steps, average=0.98)


def to_video(pictures: Pictures) -> Tensor:
    """(3, frames, height, width), -1..1."""
    return torch.from_numpy(pictures).permute(3, 0, 1, 2).float() / 127.5 - 1


def encode(vae: AutoencoderKLWan, videos: Tensor) -> Tensor:
    """The posterior's mean, not normalised."""
    latents: Tensor = vae._encode(videos)[:, :LATENT_CHANNELS]
    return latents


def decode_unclamped(vae: AutoencoderKLWan, latents: Tensor) -> Tensor:
    """As `vae.decode`, but values beyond black and white keep their gradient."""
    vae.clear_cache()
    features = vae.post_quant_conv(latents)
    decoded = []
    for frame in range(latents.shape[2]):
        vae._conv_idx = [0]
        decoded.append(
            vae.decoder(
                features[:, :, frame : frame + 1],
                feat_cache=vae._feat_map,
                feat_idx=vae._conv_idx,
                first_chunk=frame == 0,
            )
        )
    vae.clear_cache()
    pictures: Tensor = unpatchify(torch.cat(decoded, dim=2), patch_size=vae.config.patch_size)
    return pictures


@torch.no_grad()
def normalise(vae: AutoencoderKLWan, plan: Plan) -> None:
    """Write mean and spread of the latents into the VAE's configuration."""
    rng, _ = numbers(plan.seed, STAGE, NORMALISING)
    latents = torch.cat(
        [
            encode(vae, to_video(draw(training_scene(rng), range(33), plan.size))[None])
            for _ in range(NORMALISING_SCENES)
        ]
    )
    mean, spread = latents.mean((0, 2, 3, 4)), latents.std((0, 2, 3, 4))
    vae.register_to_config(
        latents_mean=[round(each, 5) for each in mean.tolist()],
        latents_std=[round(each, 5) for each in spread.tolist()],
    )
