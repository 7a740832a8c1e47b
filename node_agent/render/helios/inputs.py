"""Pictures and videos that clips start from: checked and decoded, within limits.

Everything is checked before any time of a GPU is spent. A message names the file and the cause.
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
from PIL import Image, ImageOps, UnidentifiedImageError

from node_agent.render.renderer import CHUNK_FRAMES, PromptError

PICTURE_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")
PICTURE_PIXELS_MAX = 64_000_000
"""8000 x 8000; a decoded one takes 192 MB."""
FILE_BYTES_MAX = 8 << 30
VIDEO_SIDE_MAX = 4320
VIDEO_FRAMES_MAX = 60 * 60 * 30
"""An hour at 30 frames per second."""

SEEN_CHUNKS = 3
"""Chunks of a video that a clip's first chunk can see: 27 latent frames, its history holds 19."""


class InputError(PromptError):
    """An image or video cannot be used; the message names the file, the cause and the remedy."""


@dataclass(frozen=True, slots=True)
class Footage:
    """What of a video a clip starts from."""

    first: Image.Image
    """The video's very first frame."""
    last: list[Image.Image]
    """The last whole chunks, `SEEN_CHUNKS` at most, oldest frame first."""
    chunks: int
    """Whole chunks of the video."""


def read_picture(path: Path, width: int, height: int) -> Image.Image:
    """An image as RGB, cut in the middle to the shape of `width` x `height`. Raises `InputError`.

    Transparency lies on black; the camera's orientation is applied.
    """
    _check_file(path, "image")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # our own limit is stricter than PIL's warning
            with Image.open(path, formats=PICTURE_FORMATS) as picture:
                _check_picture(path, picture)
                picture.load()
                return _shaped(_rgb(ImageOps.exif_transpose(picture)), width, height)
    except UnidentifiedImageError:
        kinds = ", ".join(PICTURE_FORMATS)
        raise InputError(f"image {path}: not a picture that is understood; use {kinds}") from None
    except Image.DecompressionBombError:
        raise _too_large(path) from None
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f"image {path}: damaged ({error}); export it again") from error


def read_footage(path: Path, width: int, height: int) -> Footage:
    """The part of a video that a clip can see, cut to shape as an image is. Raises `InputError`.

    The frames are counted by decoding them, whatever the file's header says.
    """
    _check_file(path, "video")
    try:
        frames = sum(1 for _ in _decoded(path))
        if frames < CHUNK_FRAMES:
            raise InputError(
                f"video {path}: {frames} frames; a clip goes on from {CHUNK_FRAMES} or more"
            )
        chunks = frames // CHUNK_FRAMES
        keep = min(chunks, SEEN_CHUNKS) * CHUNK_FRAMES
        first: Image.Image | None = None
        last: deque[Image.Image] = deque(maxlen=keep)
        for number, frame in enumerate(_decoded(path)):
            if number == 0 or number >= frames - keep:
                picture = _shaped(frame.to_image(), width, height)
                first = first or picture
                if number >= frames - keep:
                    last.append(picture)
    except av.error.FFmpegError as error:
        raise InputError(f"video {path}: damaged ({error.strerror}); export it again") from error
    if first is None or len(last) != keep:
        raise InputError(f"video {path}: changed while it was read; try again")
    return Footage(first, list(last), chunks)


def _check_file(path: Path, kind: str) -> None:
    try:
        size = path.stat().st_size
    except OSError as error:
        reason = error.strerror or "cannot be read"
        raise InputError(f"{kind} {path}: {reason.lower()}; check its name") from None
    if not path.is_file():
        raise InputError(f"{kind} {path}: not a file; name one")
    if not 0 < size <= FILE_BYTES_MAX:
        raise InputError(f"{kind} {path}: {size} bytes; 1 to {FILE_BYTES_MAX} are taken")


def _check_picture(path: Path, picture: Image.Image) -> None:
    width, height = picture.size
    if width * height > PICTURE_PIXELS_MAX:
        raise _too_large(path)
    if picture.mode.startswith(("I", "F")):
        raise InputError(f"image {path}: {picture.mode} pixels; save it with 8 bits a channel")


def _too_large(path: Path) -> InputError:
    limit = PICTURE_PIXELS_MAX / 1e6
    return InputError(f"image {path}: more than {limit:.0f} megapixels; scale it down")


def _decoded(path: Path) -> Iterator[Any]:
    """Frames of a video's first track, within the limits."""
    with av.open(str(path)) as film:
        if not film.streams.video:
            raise InputError(f"video {path}: there is no picture in it; name a video")
        track = film.streams.video[0]
        track.thread_type = "AUTO"
        for number, frame in enumerate(film.decode(track)):
            if frame.width > VIDEO_SIDE_MAX or frame.height > VIDEO_SIDE_MAX:
                raise InputError(
                    f"video {path}: {frame.width}x{frame.height}; scale it to"
                    f" {VIDEO_SIDE_MAX} or less"
                )
            if number >= VIDEO_FRAMES_MAX:
                raise InputError(f"video {path}: more than {VIDEO_FRAMES_MAX} frames; cut it")
            yield frame


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        layered = picture.convert("RGBA")
        ground = Image.new("RGBA", layered.size, (0, 0, 0, 255))
        return Image.alpha_composite(ground, layered).convert("RGB")
    return picture.convert("RGB")


def _shaped(picture: Image.Image, width: int, height: int) -> Image.Image:
    """The largest middle part of the shape `width` x `height`; the model's scaling follows."""
    if picture.width * height == picture.height * width:
        return picture
    if picture.width * height > picture.height * width:
        wide, high = max(1, round(picture.height * width / height)), picture.height
    else:
        wide, high = picture.width, max(1, round(picture.width * height / width))
    left, top = (picture.width - wide) // 2, (picture.height - high) // 2
    return picture.crop((left, top, left + wide, top + high))
