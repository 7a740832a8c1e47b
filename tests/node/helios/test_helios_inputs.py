"""What a clip may start from is checked before anything is rendered, by file and cause."""

import av
import numpy as np
import pytest
from PIL import Image

from node_agent.render.failures import classify
from node_agent.render.helios import inputs
from node_agent.render.helios.inputs import InputError, read_footage, read_picture
from node_agent.render.messages import Failure


def refusal(read, path):
    with pytest.raises(InputError) as caught:
        read(path, 64, 64)
    assert classify(caught.value) is Failure.INPUT
    message = str(caught.value)
    assert str(path) in message
    return message.replace(str(path), "FILE")


def film(path, frames, *, size=(64, 64), codec="ffv1", pix_fmt="bgr0"):
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=24)
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        for number in range(frames):
            pixels = np.full((size[1], size[0], 3), number % 256, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        out.mux(stream.encode())
    return path


def test_a_picture_is_read_as_rgb(picture):
    read = read_picture(picture, 128, 64)
    assert (read.mode, read.size) == ("RGB", (256, 128))


@pytest.mark.parametrize(
    ("width", "height", "cut"), [(64, 64, (128, 128)), (64, 128, (64, 128)), (128, 64, (256, 128))]
)
def test_a_picture_of_another_shape_is_cut_in_its_middle(picture, width, height, cut):
    read = read_picture(picture, width, height)
    assert read.size == cut
    whole = np.asarray(Image.open(picture))
    left = (256 - cut[0]) // 2
    assert np.array_equal(np.asarray(read), whole[: cut[1], left : left + cut[0]])


def test_transparency_lies_on_black(tmp_path):
    path = tmp_path / "glass.png"
    Image.new("RGBA", (64, 64), (255, 0, 0, 0)).save(path)
    assert not np.asarray(read_picture(path, 64, 64)).any()


def test_a_camera_held_upright_is_turned(tmp_path):
    path = tmp_path / "upright.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees
    Image.new("RGB", (64, 32)).save(path, exif=exif)
    assert read_picture(path, 32, 64).size == (32, 64)


def test_a_missing_file(tmp_path):
    assert refusal(read_picture, tmp_path / "no.png") == (
        "image FILE: no such file or directory; check its name"
    )
    assert "no such file" in refusal(read_footage, tmp_path / "no.mp4")


def test_a_folder_and_an_empty_file(tmp_path):
    assert "not a file" in refusal(read_picture, tmp_path)
    (tmp_path / "empty.png").touch()
    assert "0 bytes" in refusal(read_picture, tmp_path / "empty.png")


def test_a_damaged_picture(picture, tmp_path):
    path = tmp_path / "cut.png"
    path.write_bytes(picture.read_bytes()[:2000])
    assert "damaged" in refusal(read_picture, path)


def test_a_file_that_is_no_picture(tmp_path):
    path = tmp_path / "words.png"
    path.write_text("I am not a picture")
    assert "not a picture that is understood; use PNG, JPEG" in refusal(read_picture, path)


@pytest.mark.parametrize("side", [8_001, 20_000])
def test_a_huge_picture_is_refused_by_its_header(tmp_path, side):
    path = tmp_path / "huge.png"
    Image.new("1", (side, side)).save(path)
    assert refusal(read_picture, path) == "image FILE: more than 64 megapixels; scale it down"


def test_a_picture_of_16_bits(tmp_path):
    path = tmp_path / "deep.png"
    Image.new("I;16", (64, 64)).save(path)
    assert "save it with 8 bits a channel" in refusal(read_picture, path)


@pytest.mark.parametrize(("frames", "chunks", "kept"), [(33, 1, 33), (100, 3, 99), (200, 6, 99)])
def test_of_a_video_only_what_a_clip_can_see_is_kept(tmp_path, frames, chunks, kept):
    footage = read_footage(film(tmp_path / "film.mkv", frames), 64, 64)
    assert (footage.chunks, len(footage.last)) == (chunks, kept)
    assert footage.first.getpixel((0, 0))[0] == 0
    shades = [frame.getpixel((0, 0))[0] for frame in footage.last]
    assert shades == [number % 256 for number in range(frames - kept, frames)]


def test_a_video_that_is_too_short(tmp_path):
    path = film(tmp_path / "short.mkv", 10)
    assert refusal(read_footage, path) == ("video FILE: 10 frames; a clip goes on from 33 or more")


def test_a_video_whose_header_lies(tmp_path):
    """The header promises 40 frames, the file was cut after a few of them."""
    whole = film(tmp_path / "whole.mkv", 40, size=(128, 128))
    content = whole.read_bytes()
    path = tmp_path / "lying.mkv"
    path.write_bytes(content[: len(content) // 4])
    assert "frames; a clip goes on from 33" in refusal(read_footage, path)


def test_a_video_that_is_none(tmp_path):
    path = tmp_path / "noise.mp4"
    path.write_bytes(bytes(range(256)) * 64)
    assert "damaged" in refusal(read_footage, path)


def test_sound_alone_is_no_video(tmp_path):
    path = tmp_path / "song.mka"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        sound.rate = 8000
        out.mux(stream.encode(sound))
        out.mux(stream.encode())
    assert "there is no picture in it" in refusal(read_footage, path)


def test_a_video_has_limits(tmp_path, monkeypatch):
    path = film(tmp_path / "film.mkv", 50)
    monkeypatch.setattr(inputs, "VIDEO_FRAMES_MAX", 40)
    assert "more than 40 frames; cut it" in refusal(read_footage, path)
    monkeypatch.setattr(inputs, "VIDEO_SIDE_MAX", 32)
    assert "64x64; scale it to 32 or less" in refusal(read_footage, path)
