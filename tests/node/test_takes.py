"""Takes hold every frame asked for, once and in order, and play where films are played."""

from __future__ import annotations

import base64
import io
import json
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import pytest

from node_agent.encode import Take, TakeError, assemble, encode_segment
from node_agent.render.renderer import CHUNK_FRAMES, RenderSpec
from node_agent.render.testcard import TestCardRenderer, card_of, read_card
from tests.fixtures.browser import chromium

COUNTS = [1, 33, 34, 120, 240]


class Film:
    """A test-card clip as files: the init segment and its segments."""

    def __init__(self, folder: Path, frames: int, fps: int | Fraction, size: int = 64) -> None:
        self.frames, self.fps = frames, Fraction(fps)
        spec = RenderSpec(
            clip_id="film", prompt="p", frames=frames, height=size, width=2 * size, seed=9
        )
        clip = TestCardRenderer().start(spec)
        self.init, self.segments = folder / "init.mp4", []
        for k in range(spec.chunks):
            first = k * CHUNK_FRAMES
            picture = clip.step(lambda: False).frames[: frames - first]
            segment = encode_segment(picture, start_frame=first, fps=fps)
            self.init.write_bytes(segment.init)
            self.segments.append(folder / f"{k}.m4s")
            self.segments[-1].write_bytes(segment.media)

    def take(self, destination: Path) -> Take:
        return assemble(self.init, self.segments, destination, frames=self.frames, fps=self.fps)

    def joined(self) -> bytes:
        return b"".join(path.read_bytes() for path in [self.init, *self.segments])


def decoded(film: Path | bytes) -> list[tuple[Fraction, av.VideoFrame]]:
    source = io.BytesIO(film) if isinstance(film, bytes) else str(film)
    with av.open(source) as container:
        return [(f.pts * f.time_base, f) for f in container.decode(video=0)]


def cards(film: Path | bytes) -> list[int]:
    read = [read_card(frame.to_ndarray(format="rgb24")) for _, frame in decoded(film)]
    assert read == [card_of("film", 9, card.frame) for card in read]
    return [card.frame for card in read]


@pytest.mark.parametrize("frames", COUNTS)
def test_a_take_shows_every_frame_once_and_in_order(tmp_path, frames):
    film = Film(tmp_path, frames, 24)
    take = film.take(tmp_path / "take.mp4")
    assert cards(take.path) == list(range(frames))
    assert cards(film.joined()) == list(range(frames)), "the segments alone are the same film"
    assert [time for time, _ in decoded(take.path)] == [Fraction(n, 24) for n in range(frames)]
    assert (take.frames, take.size) == (frames, take.path.stat().st_size)


@pytest.mark.parametrize("frames", COUNTS)
@pytest.mark.parametrize("fps", [24, 16, 25, 30, Fraction(24000, 1001)])
def test_ffprobe_finds_the_frames_the_rate_and_the_colours(tmp_path, frames, fps):
    if shutil.which("ffprobe") is None:
        pytest.skip("ffprobe is not installed")
    take = Film(tmp_path, frames, fps).take(tmp_path / "take.mp4")
    command = ["ffprobe", "-v", "warning", "-count_frames", "-show_streams", "-show_packets"]
    done = subprocess.run(
        [*command, "-of", "json", str(take.path)], capture_output=True, check=True, text=True
    )
    assert done.stderr == ""
    seen = json.loads(done.stdout)
    (stream,), rate = seen["streams"], Fraction(fps)
    assert int(stream["nb_frames"]) == int(stream["nb_read_frames"]) == frames
    assert Fraction(stream["r_frame_rate"]) == Fraction(stream["avg_frame_rate"]) == rate
    assert float(stream["start_time"]) == 0
    assert stream["duration_ts"] * Fraction(stream["time_base"]) == frames / rate
    assert (stream["codec_name"], stream["pix_fmt"]) == ("h264", "yuv420p")
    assert (stream["width"], stream["height"], stream["has_b_frames"]) == (128, 64, 0)
    names = ("color_range", "color_space", "color_transfer", "color_primaries")
    assert [stream[name] for name in names] == ["tv", "bt709", "bt709", "bt709"]
    packets = seen["packets"]
    ends = [packet["pts"] + packet["duration"] for packet in packets]
    assert [packet["pts"] for packet in packets[1:]] == ends[:-1], "no gap, no overlap"
    assert [packet["pts"] for packet in packets] == [packet["dts"] for packet in packets]
    keys = [n for n, packet in enumerate(packets) if packet["flags"].startswith("K")]
    assert keys == list(range(0, frames, CHUNK_FRAMES))


def test_the_same_segments_give_the_same_bytes_wherever_they_lie(tmp_path):
    places = [tmp_path / "one", tmp_path / "another place"]
    for place in places:
        place.mkdir()
    takes = [
        Film(place, 100, 24).take(place / name)
        for place, name in zip(places, ("a.mp4", "b.mp4"), strict=True)
    ]
    assert takes[0].path.read_bytes() == takes[1].path.read_bytes()
    assert takes[0].sha256 == takes[1].sha256


def test_the_index_comes_first_and_no_edit_list_shifts_the_film(tmp_path):
    content = Film(tmp_path, 34, 24).take(tmp_path / "take.mp4").path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")
    assert b"elst" not in content
    assert b"moof" not in content


@pytest.mark.parametrize("harm", ["missing", "first", "doubled", "swapped", "cut", "empty"])
def test_segments_that_do_not_add_up_are_refused_and_leave_no_file(tmp_path, harm):
    film = Film(tmp_path, 120, 24)
    whole = list(film.segments)
    if harm == "missing":
        film.segments = whole[:-1]
    elif harm == "first":
        film.segments = whole[1:]
    elif harm == "doubled":
        film.segments = [whole[0], *whole]
    elif harm == "swapped":
        film.segments = [whole[1], whole[0], *whole[2:]]
    else:
        content = whole[2].read_bytes()
        whole[2].write_bytes(content[: len(content) // 2] if harm == "cut" else b"")
    with pytest.raises(TakeError):
        film.take(tmp_path / "take.mp4")
    assert not [path for path in tmp_path.iterdir() if "take" in path.name]


def test_a_segment_that_is_not_there_is_named(tmp_path):
    film = Film(tmp_path, 34, 24)
    film.segments[1].unlink()
    with pytest.raises(FileNotFoundError, match=r"1\.m4s"):
        film.take(tmp_path / "take.mp4")


PLAY = """
async ([source, rate]) => {
  const video = document.createElement('video');
  document.body.append(video);
  video.muted = true;
  video.src = source;
  const shown = new Promise(resolve => video.requestVideoFrameCallback(resolve));
  const ended = new Promise((resolve, reject) => {
    video.onended = resolve;
    video.onerror = () => reject(new Error(video.error.message));
  });
  await video.play();
  video.playbackRate = rate;
  await Promise.all([shown, ended]);
  const quality = video.getVideoPlaybackQuality();
  return {
    duration: video.duration, at: video.currentTime, frames: quality.totalVideoFrames,
    width: video.videoWidth, height: video.videoHeight, corrupted: quality.corruptedVideoFrames,
  };
}
"""

STREAM = """
async ([type, parts]) => {
  if (!MediaSource.isTypeSupported(type)) throw new Error('not supported: ' + type);
  const video = document.createElement('video');
  const media = new MediaSource();
  video.src = URL.createObjectURL(media);
  await new Promise(resolve => media.addEventListener('sourceopen', resolve, {once: true}));
  const buffer = media.addSourceBuffer(type);
  for (const part of parts) {
    const bytes = Uint8Array.from(atob(part), letter => letter.charCodeAt(0));
    await new Promise((resolve, reject) => {
      buffer.onupdateend = resolve;
      buffer.onerror = () => reject(new Error('the browser refuses a segment'));
      buffer.appendBuffer(bytes);
    });
  }
  media.endOfStream();
  const ranges = [];
  for (let i = 0; i < buffer.buffered.length; i++)
    ranges.push([buffer.buffered.start(i), buffer.buffered.end(i)]);
  return ranges;
}
"""


@pytest.fixture(scope="module")
def page():
    with chromium("--autoplay-policy=no-user-gesture-required") as browser:
        yield browser.new_page()


@pytest.mark.parametrize("frames", [1, 34, 120])
def test_a_take_plays_to_its_end_in_chromium(page, tmp_path, frames):
    take = Film(tmp_path, frames, 24, size=128).take(tmp_path / "take.mp4")
    (tmp_path / "page.html").write_text("<!doctype html><title>take</title>")
    page.goto((tmp_path / "page.html").as_uri())
    seen = page.evaluate(PLAY, [take.path.name, 2])
    assert seen["duration"] == seen["at"] == pytest.approx(frames / 24, abs=1e-3)
    assert (seen["width"], seen["height"], seen["corrupted"]) == (256, 128, 0)
    assert seen["frames"] == frames


@pytest.mark.parametrize("fps", [24, Fraction(24000, 1001)])
def test_segments_stream_into_chromium_without_a_gap(page, tmp_path, fps):
    film = Film(tmp_path, 120, fps, size=128)
    init = film.init.read_bytes()
    configuration = init[init.index(b"avcC") + 5 :][:3].hex().upper()
    parts = [base64.b64encode(p.read_bytes()).decode() for p in [film.init, *film.segments]]
    page.goto("about:blank")
    ranges = page.evaluate(STREAM, [f'video/mp4; codecs="avc1.{configuration}"', parts])
    assert ranges == [[0, pytest.approx(float(120 / Fraction(fps)), abs=1e-3)]]
