"""Sizes of a training: the one that makes the artifact, and a smoke version for CI."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a training is; the same plan and seed give the same weights on the same stack."""

    seed: int = 0
    size: int = 64
    """Pixels of a side."""
    stages: int = 1
    """1 is a Base model, 3 a Distilled one with its pyramid."""
    vae_size: int = 64
    """Pixels of a side of what the VAE learns from."""

    vae_width: int = 16
    pictures: int = 16
    """Of a batch."""
    picture_steps: int = 500
    picture_rate: float = 2e-3
    films: int = 2
    """Of a batch."""
    film_frames: int = 9
    film_steps: int = 3500
    film_rate: float = 7e-4
    chunk_frames: int = 33
    chunk_steps: int = 800
    """With as many chunks as `films`."""
    chunk_rate: float = 4e-4

    decoder_steps: int = 2500
    """Of the VAE's decoder alone, which may be trained while the transformer is."""
    decoder_rate: float = 7e-4
    seam_steps: int = 1000
    """Of the same, with a frame of the next chunk."""
    seam_rate: float = 7e-4

    captions: int = 64
    """Of a batch, when the text encoder learns alone."""
    word_steps: int = 1000
    word_rate: float = 2e-3

    layers: int = 6
    heads: int = 4
    head_dim: int = 32
    rope: tuple[int, int, int] = (12, 10, 10)
    ffn_dim: int = 512
    text_dim: int = 96
    text_layers: int = 2
    batch: int = 16
    rate: float = 3e-3
    """Of what is neither of the following."""
    text_rate: float = 3e-4
    """Of the text encoder and of what brings its words to the transformer's width."""
    muon_rate: float = 0.02
    """Of the matrices in the transformer's blocks."""
    warm_up: int = 200
    noisier: float = 1.6
    """Further shift towards noise, where it is decided what a clip shows."""

    pairs_of_shard: int = 10
    """Pairs of scenes that are encoded together."""
    first_shards: int = 3
    shard_every: int = 100
    """Steps of the transformer from one further shard to the next."""
    shards_max: int = 240


PLANS = {
    "base": Plan(),
    "distilled": Plan(
        size=128,
        stages=3,
        pairs_of_shard=5,
        first_shards=4,
        shard_every=150,
    ),
    "smoke": Plan(
        vae_width=8,
        pictures=8,
        picture_steps=60,
        films=2,
        film_frames=5,
        film_steps=30,
        word_steps=80,
        chunk_frames=9,
        chunk_steps=4,
        decoder_steps=4,
        seam_steps=4,
        layers=2,
        heads=2,
        text_dim=32,
        text_layers=1,
        ffn_dim=128,
        batch=8,
        warm_up=10,
        pairs_of_shard=2,
        first_shards=1,
        shards_max=1,
    ),
}
