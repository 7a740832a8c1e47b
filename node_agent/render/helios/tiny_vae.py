"""A tiny decoder for previews: TAEHV (github.com/madebyollin/taehv), for latents of Wan 2.1.

A stack of small convolutions that was taught to imitate the VAE's decoder. It takes latents as the
transformer gives them, normalised: its authors set the VAE's mean to 0 and its deviation to 1 where
they put it in the VAE's place. Written from the layout of its published files (`taew2_1`); held
against them it has not been yet.

Every frame sees the one before it, at each of nine places (`Remembering`). The time is stretched
twice by two, so 9 latent frames give 36; the first 3 are a run-up and dropped, which leaves the 33
of a chunk. Frames pass one latent frame at a time, so memory does not grow with the chunk.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own custom
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from node_agent.models import ModelError

RUN_UP_FRAMES = 3
"""Of the first latent frame's four."""

_PREFIX = "decoder."
_FIRST = "1.weight"
_LEVELS = (8, 14, 20)
"""Places of the convolutions that lead to the next level, each with other widths."""


class Bounded(nn.Module):
    """Keeps latents within ±3, softly."""

    def forward(self, frames: Tensor) -> Tensor:
        """Of the same shape."""
        return torch.tanh(frames / 3) * 3


class Remembering(nn.Module):
    """Convolutions over a frame and the one before it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(2 * width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
        )
        self.before: Tensor | None = None
        """The last frame of the piece before; None at a chunk's begin, where it is zero."""

    def forward(self, frames: Tensor) -> Tensor:
        """(frames, channels, height, width) that follow those of the call before."""
        before = torch.zeros_like(frames[:1]) if self.before is None else self.before
        past = torch.cat([before, frames[:-1]])
        self.before = frames[-1:]
        return F.relu(self.conv(torch.cat([frames, past], dim=1)) + frames)


class Stretched(nn.Module):
    """Makes `times` frames of each."""

    def __init__(self, width: int, times: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width * times, 1, bias=False)

    def forward(self, frames: Tensor) -> Tensor:
        """(frames, channels, height, width) to (times · frames, …)."""
        _, channels, height, width = frames.shape
        stretched: Tensor = self.conv(frames)
        return stretched.reshape(-1, channels, height, width)


class TinyVae(nn.Module):
    """Decodes as `AutoencoderKLWan` does, from normalised latents."""

    def __init__(self, channels: int, widths: tuple[int, ...]) -> None:
        """`channels` of the latents; `widths` of the four levels, small pictures to large ones."""
        super().__init__()
        layers: list[nn.Module] = [
            Bounded(), nn.Conv2d(channels, widths[0], 3, padding=1), nn.ReLU()
        ]  # fmt: skip
        for level, times in enumerate((1, 2, 2)):
            width = widths[level]
            layers += [Remembering(width) for _ in range(3)]
            layers += [nn.Upsample(scale_factor=2), Stretched(width, times)]
            layers.append(nn.Conv2d(width, widths[level + 1], 3, padding=1, bias=False))
        layers += [nn.ReLU(), nn.Conv2d(widths[3], 3, 3, padding=1)]
        self.decoder = nn.Sequential(*layers)

    @property
    def dtype(self) -> torch.dtype:
        """What it computes in."""
        return next(self.parameters()).dtype

    def decode(self, latents: Tensor) -> Tensor:
        """Video (1, 3, 33, height, width), -1..1, of latents (1, channels, 9, height / 8, …)."""
        for layer in self.decoder:
            if isinstance(layer, Remembering):
                layer.before = None
        pieces = [self.decoder(frame[None]) for frame in latents[0].to(self.dtype).unbind(1)]
        frames = torch.cat(pieces)[RUN_UP_FRAMES:]
        return (frames.clamp(0, 1) * 2 - 1).transpose(0, 1)[None]


def load_tiny_vae(directory: Path) -> TinyVae:
    """The tiny VAE of a folder with one safetensors file, in float32 on the CPU.

    Raises `ModelError` where there is none, or one of another layout.
    """
    files = sorted(directory.glob("*.safetensors"))
    if len(files) != 1:
        raise ModelError(f"{directory}: {len(files)} safetensors files; put one there, taew2_1")
    [path] = files
    try:
        with safe_open(path, framework="pt") as file:
            names = [name for name in file.keys() if name.startswith(_PREFIX)]  # noqa: SIM118
            weights = {name.removeprefix(_PREFIX): file.get_tensor(name) for name in names}
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: not a safetensors file ({error}); fetch it again") from error
    return _with_weights(path, weights)


def _with_weights(path: Path, weights: Mapping[str, Tensor]) -> TinyVae:
    try:
        first, levels = weights[_FIRST], [weights[f"{place}.weight"] for place in _LEVELS]
        vae = TinyVae(first.shape[1], (first.shape[0], *(each.shape[0] for each in levels)))
        vae.decoder.load_state_dict(weights)
    except (KeyError, IndexError, RuntimeError) as error:
        detail = str(error).splitlines()[0]
        raise ModelError(
            f"{path}: not laid out as TAEHV's taew2_1, which Helios's latents need ({detail});"
            " put that file there"
        ) from error
    return vae.float().eval().requires_grad_(False)
