"""The signals of a finished take: it is decoded once, as its viewers will."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import av

from node_agent.encode import TakeError
from node_agent.quality.colours import Plane
from node_agent.quality.meter import SignalMeter
from node_agent.quality.signals import Signals


def measure(take: Path, *, frames: int) -> Signals:
    """The signals of a finished take, decoded on one thread.

    Raises TakeError for a take that cannot be decoded to exactly `frames` frames, or not whole;
    OSError for one that cannot be read.
    """
    meter, seen = SignalMeter(), 0
    try:
        with av.open(str(take)) as film:
            track = film.streams.video[0]
            track.codec_context.thread_count = 1
            track.codec_context.options = {"err_detect": "explode"}
            for picture in film.decode(track):
                if picture.is_corrupt:
                    raise TakeError(f"frame {seen} of {take.name} is damaged")
                meter.add(cast("Plane", picture.to_ndarray(format="rgb24", threads=1)))
                seen += 1
    except av.error.FFmpegError as error:
        if isinstance(error, OSError):  # the disk's fault, not the take's
            raise
        raise TakeError(f"{take.name} cannot be decoded at frame {seen}: {error}") from error
    if seen != frames:
        raise TakeError(f"{take.name} decodes to {seen} frames instead of {frames}")
    return meter.result()
