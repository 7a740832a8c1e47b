"""A segment depends on its frames and its place alone, and is tagged as what it is."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from heliostat.v1 import types_pb2 as types_pb
from node_agent import encode
from node_agent.chunks import INIT, ChunkFiles
from node_agent.delivery import AttemptFailed
from node_agent.encode import (
    EncodeError,
    EncodeSettings,
    encode_segment,
    encoder_id,
    h264_encoder,
    track_timescale,
)
from node_agent.files import atomic_path, write_atomic
from node_agent.render.renderer import RenderSpec
from node_agent.render.testcard import TestCardRenderer


@pytest.fixture(scope="module")
def chunks() -> list[np.ndarray]:
    spec = RenderSpec(clip_id="c", prompt="p", frames=99, height=128, width=192, seed=5)
    clip = TestCardRenderer().start(spec)
    return [clip.step(lambda: False).frames for _ in range(3)]


def boxes(content: bytes) -> list[str]:
    found, offset = [], 0
    while offset < len(content):
        found.append(content[offset + 4 : offset + 8].decode())
        offset += int.from_bytes(content[offset : offset + 4], "big")
    return found


def decode_time(media: bytes) -> int:
    at = media.index(b"tfdt")
    assert media[at + 4] == 1, "a 64-bit decode time"
    return int.from_bytes(media[at + 8 : at + 16], "big")


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch):
    """Sets the encoders that are looked for, as if FFmpeg had no other."""

    def set_to(*names: str) -> None:
        monkeypatch.setattr(encode, "_ENCODERS", names)
        h264_encoder.cache_clear()

    yield set_to
    h264_encoder.cache_clear()


def test_the_encoder_is_the_first_that_ffmpeg_has(offered):
    offered("no-such-encoder", "mpeg4")
    assert h264_encoder() == "mpeg4"
    assert encoder_id(EncodeSettings(crf=20)).startswith("mpeg4,libavcodec-")


def test_an_ffmpeg_without_an_encoder_is_told_what_to_do(offered):
    offered("no-such-encoder")
    with pytest.raises(EncodeError, match=r"no-such-encoder.*install PyAV's wheel"):
        encoder_id()


def test_a_clip_is_not_put_together_from_two_encoders(tmp_path: Path):
    files = ChunkFiles()
    for name in ("theirs", "ours"):
        (tmp_path / name).write_bytes(name.encode())
    files.check_encoder(tmp_path / "ours")  # the first chunk of all
    files.keep(0, INIT, tmp_path / "theirs")
    files.check_encoder(tmp_path / "theirs")
    with pytest.raises(AttemptFailed, match="another encoder") as caught:
        files.check_encoder(tmp_path / "ours")
    assert caught.value.failure == types_pb.FAILURE_CLASS_NODE


@pytest.mark.parametrize("fps", [16, 24, 25, 30, Fraction(24000, 1001)])
def test_decode_times_go_on_and_one_init_fits_all(chunks, fps):
    last = chunks[2][:1]
    segments = [
        encode_segment(frames, start_frame=33 * k, fps=fps)
        for k, frames in enumerate([chunks[0], chunks[1], last])
    ]
    rate = Fraction(fps)
    assert len({segment.init for segment in segments}) == 1
    assert [decode_time(s.media) for s in segments] == [
        33 * k * track_timescale(rate) / rate for k in range(3)
    ]
    assert boxes(segments[0].init) == ["ftyp", "moov"]
    assert all(boxes(segment.media) == ["moof", "mdat"] for segment in segments)
    assert [segment.frames for segment in segments] == [33, 33, 1]


def test_the_same_frames_give_the_same_bytes_whatever_came_before(chunks):
    alone = encode_segment(chunks[1], start_frame=33, fps=24)
    encode_segment(chunks[0], start_frame=0, fps=24)
    assert encode_segment(chunks[1].copy(), start_frame=33, fps=24) == alone
    assert encode_segment(chunks[0], start_frame=33, fps=24).media != alone.media


def test_one_keyframe_at_the_start_and_no_reordering(chunks):
    segment = encode_segment(chunks[0], start_frame=0, fps=24)
    with av.open(io.BytesIO(segment.init + segment.media)) as film:
        packets = [packet for packet in film.demux(video=0) if packet.size]
    assert [packet.is_keyframe for packet in packets] == [True] + [False] * 32
    assert all(packet.pts == packet.dts for packet in packets)


def test_colours_are_converted_with_the_matrix_that_the_tags_name():
    """Y'CbCr of flat colours after ITU-R BT.709-6, 3.2 to 3.4, in 8 bits."""
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [90, 140, 30]])
    frames = np.repeat(colours, 64, axis=0)[None, None].repeat(64, axis=1).astype(np.uint8)
    segment = encode_segment(frames, start_frame=0, fps=24)
    with av.open(io.BytesIO(segment.init + segment.media)) as film:
        picture = next(film.decode(video=0))
    assert (picture.colorspace, picture.color_range) == (1, 1)
    assert (picture.color_primaries, picture.color_trc) == (1, 1)
    planes = picture.to_ndarray()
    chroma = planes[64:].reshape(2, 32, 160)
    for place, (r, g, b) in enumerate(colours / 255):
        luma = 0.2126 * r + 0.7152 * g + 0.0722 * b
        expected = [
            16 + 219 * luma,
            128 + 224 * (b - luma) / 1.8556,
            128 + 224 * (r - luma) / 1.5748,
        ]
        x = 64 * place + 32
        seen = [planes[32, x], chroma[0, 16, x // 2], chroma[1, 16, x // 2]]
        assert np.allclose(seen, expected, atol=2), (place, seen, expected)


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((0, 64, 64, 3), np.uint8),
        np.zeros((1, 64, 64), np.uint8),
        np.zeros((1, 64, 64, 3), np.float32),
        np.zeros((1, 63, 64, 3), np.uint8),
    ],
)
def test_frames_that_cannot_be_encoded_are_refused(frames):
    with pytest.raises(EncodeError):
        encode_segment(frames, start_frame=0, fps=24)


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path):
    place = tmp_path / "f"
    write_atomic(place, b"first")
    with pytest.raises(RuntimeError), atomic_path(place) as temporary:  # noqa: PT012
        temporary.write_bytes(b"half of the sec")
        raise RuntimeError("the process stumbled")
    assert place.read_bytes() == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]
