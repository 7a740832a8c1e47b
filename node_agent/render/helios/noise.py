"""Every random number of a clip, from one generator on the CPU.

A generator of its own makes a clip independent of its neighbours; on the CPU it gives the same
numbers whatever the card, and its state is a few kilobytes that any other machine can go on from.
"""

from __future__ import annotations

import torch
from torch import Tensor

SMALLEST_FLOAT32_EIGENVALUE = 5e-7
"""Below this a float32 Cholesky factorisation lives on rounding errors: it may fail, or not."""

JITTER = 1e-8
"""Added to the diagonal of the covariance, as the stock pipeline does."""


class ClipNoise:
    """The random stream of one clip."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator("cpu").manual_seed(seed)

    @classmethod
    def from_state(cls, state: bytes) -> ClipNoise:
        """Go on where `state` was taken. Raises `RuntimeError` if it is no generator's state."""
        noise = cls(seed=0)
        noise._generator.set_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))
        return noise

    @property
    def state(self) -> bytes:
        """The generator's state, about 5 kB."""
        return self._generator.get_state().numpy().tobytes()

    def fork(self) -> ClipNoise:
        """A copy that can be drawn from without moving this one on."""
        return ClipNoise.from_state(self.state)

    @property
    def generator(self) -> torch.Generator:
        """For a library that draws by itself, as the VAE does from its posterior."""
        return self._generator

    def between(self, bounds: tuple[float, float], shape: tuple[int, ...] = (1,)) -> Tensor:
        """Uniform numbers within `bounds`, float32, on the CPU."""
        low, high = bounds
        return torch.rand(shape, generator=self._generator) * (high - low) + low

    def gaussian(self, shape: tuple[int, ...]) -> Tensor:
        """Independent standard normal numbers, float32, on the CPU."""
        return torch.randn(shape, generator=self._generator, dtype=torch.float32)

    def blocks(self, shape: tuple[int, ...], patch: tuple[int, int], gamma: float) -> Tensor:
        """Noise for re-noising an enlarged stage; `shape` is (1, channels, frames, height, width).

        Within each `patch` of a frame the pixels have variance 1 and covariance -gamma, to cancel
        what nearest-neighbour enlargement made equal (pyramidal flow matching, arXiv 2410.05954).
        """
        batch, channels, frames, height, width = shape
        rows, columns = height // patch[0], width // patch[1]
        independent = self.gaussian(
            (batch * channels * frames * rows * columns, patch[0] * patch[1])
        )
        correlated = independent @ block_factor(patch[0] * patch[1], gamma).T
        tiles = correlated.view(batch, channels, frames, rows, columns, *patch)
        return tiles.permute(0, 1, 2, 3, 5, 4, 6).reshape(shape)


def block_factor(size: int, gamma: float) -> Tensor:
    """Lower Cholesky factor of the block covariance (size x size), float32.

    The covariance has 1 on the diagonal and -gamma elsewhere, so its smallest eigenvalue is
    1 - (size - 1) gamma: zero for the 2x2 blocks and gamma = 1/3 of the real models. There the
    factor is taken in float64, where the jitter counts; elsewhere in float32, like the stock code.
    """
    smallest = 1 - (size - 1) * gamma
    dtype = torch.float32 if smallest > SMALLEST_FLOAT32_EIGENVALUE else torch.float64
    identity = torch.eye(size, dtype=dtype)
    covariance = identity * (1 + gamma) - torch.ones(size, size, dtype=dtype) * gamma
    covariance += identity * JITTER
    factor: Tensor = torch.linalg.cholesky(covariance)
    return factor.float()
