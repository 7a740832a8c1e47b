"""What is measured of a take, and which of it marks the take. A mark refuses nothing.

Units: a *level* is one step of 8-bit colour, 0..255. A *share* is of the full range or of a whole,
0..1. `docs/quality-signals.md` says what each signal is good for.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

LEVELS: Final = 255
KEY_FRAME_LEVELS: Final = 4
"""What a chunk's key frame may change by itself in a still or slow picture, mean over the frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """What was measured of one take. None: the clip is too short, or too still, to say."""

    frame_difference: float | None
    """How much moves: mean of |frame n - frame n-1| over pixels, channels and the pairs of frames
    that lie inside one chunk; share of the full range, 0..1. None without such a pair."""
    seam_flicker: float | None
    """The same mean over the pairs across chunk boundaries (frames 33k-1 and 33k), divided by
    `frame_difference`: a ratio, 0 and up, 1 where no seam shows. None for one chunk, and where
    nothing moves inside the chunks."""
    seam_flicker_worst: float | None
    """The same ratio of the boundary with the largest difference."""
    seam_worst_chunk: int | None
    """The chunk that begins at that boundary, 1 and up."""
    black_frames: int
    """Near-black frames: at least 98% of the pixels have a luma of at most 25 levels."""
    black_frames_longest: int
    """The longest run of them."""
    frozen_frames: int
    """Frames, black ones apart, that repeat the one before: mean difference at most 0.1 levels,
    none above 16. A key frame within such a run may differ by 4 levels in the mean."""
    frozen_frames_longest: int
    """The longest run of them."""
    over_saturation: float
    """Share of pixels at the gamut's edge, (max - min) / max >= 0.9 and max >= 191 levels over the
    three channels, as in HSV; mean over all frames, 0..1."""
    over_saturation_growth: float | None = None
    """The same at the clip's end less that at its beginning, -1..1; beginning and end are a chunk
    long, or half the clip where that is less. None for one chunk."""
    drift: float | None = None
    """sqrt(colour² + contrast² + saturation²) of the three parts below, between the clip's
    beginning and end as above; share of the full range, 0..1.5. None for one chunk."""
    drift_colour: float | None = None
    """Distance of the mean colours: root mean square over R, G and B; share, 0..1."""
    drift_contrast: float | None = None
    """Standard deviation of a frame's luma, mean over frames: at the end less at the beginning;
    share of the full range, -0.5..0.5."""
    drift_saturation: float | None = None
    """Mean of max - min over the three channels, at the end less at the beginning; share of the
    full range, -1..1."""

    @property
    def known(self) -> dict[str, Any]:
        """By name, what could be measured."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Beyond which value a signal marks its take.

    The defaults are ours, and unproven: nobody has compared them with what people see.
    """

    seam_flicker: float = 4.0
    """Times as much change at the worst chunk boundary as inside the chunks."""
    black_frames: int = 12
    """Near-black frames in a row."""
    frozen_frames: int = 12
    """Frames in a row that repeat the one before."""
    over_saturation: float = 0.25
    """Share of pixels at the gamut's edge, or its growth from the beginning to the end."""
    drift: float = 0.15
    """Change of colour, contrast and saturation from the beginning to the end, as a share."""

    def marks(self, signals: Signals) -> tuple[str, ...]:
        """The names of the signals that lie beyond, in the order above."""
        beyond = {
            "seam_flicker": self._seam_shows(signals),
            "black": signals.black_frames_longest > self.black_frames,
            "frozen": signals.frozen_frames_longest > self.frozen_frames,
            "over_saturation": max(signals.over_saturation, signals.over_saturation_growth or 0.0)
            > self.over_saturation,
            "drift": (signals.drift or 0.0) > self.drift,
        }
        return tuple(name for name, is_beyond in beyond.items() if is_beyond)

    def _seam_shows(self, signals: Signals) -> bool:
        """Where little moves, key frames alone give high ratios that nobody sees."""
        ratio = signals.seam_flicker_worst or 0.0
        levels = ratio * (signals.frame_difference or 0.0) * LEVELS
        return ratio > self.seam_flicker and levels > KEY_FRAME_LEVELS
