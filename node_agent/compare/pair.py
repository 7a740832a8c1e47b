"""The two reels of a clip: from their files to a likeness and a film."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from node_agent.compare.film import side_by_side
from node_agent.compare.measure import ClipLikeness, ClipMeter
from node_agent.film import read_lossless
from node_agent.quality.likeness import Floats
from node_agent.reel.codecs import CodecName
from node_agent.reel.output import Output
from node_agent.reel.reel import Reel, ReelError
from node_agent.render.negatives import read_negative
from node_agent.render.renderer import CheckpointError, Frames


def compare_reels(
    one: Reel, other: Reel, names: tuple[str, str], film: Path, on_chunk: Callable[[], None]
) -> ClipLikeness:
    """Measure two complete reels of lossless segments, and put both beside each other in `film`.

    Raises `ReelError` for files that are missing, damaged or not lossless; OSError.
    """
    one.check_files()
    other.check_files()
    fps, meter = one.record.fps, ClipMeter()
    with (
        tempfile.TemporaryDirectory(prefix=f".{film.name}.", dir=film.parent) as pieces,
        Output(film, CodecName.H264, fps=fps, crf=None, folder=Path(pieces)) as output,
    ):
        for number in range(one.record.spec.chunks):
            left, right = _frames(one, number), _frames(other, number)
            meter.add(left, right, _latents(one, other, number))
            output.put(number, side_by_side(left, right, names))
            on_chunk()
    return meter.result()


def _frames(reel: Reel, number: int) -> Frames:
    segment = reel.record.chunks[number].segment
    if segment is None or not segment.name.endswith(".mkv"):
        raise ReelError(f"{reel.folder}: chunk {number} is not lossless; start over with --fresh")
    return read_lossless(reel.path(segment))


def _latents(one: Reel, other: Reel, number: int) -> tuple[Floats, Floats] | None:
    found = []
    for reel in (one, other):
        file = reel.record.chunks[number].negative
        if file is None:
            return None
        try:
            negative = read_negative(
                reel.path(file), chunk=number, model_digest=reel.record.model_digest
            )
        except CheckpointError as error:
            raise ReelError(str(error)) from error
        found.append(negative.latents)
    return found[0], found[1]
