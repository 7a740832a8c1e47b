"""A negative written is the negative read, or an error that says what is wrong with the file."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save_file

from node_agent.render.negatives import Origin, read_negative, write_negative
from node_agent.render.renderer import CheckpointError, Negative, PromptMark

ORIGIN = Origin(chunk=3, model_digest="a" * 64, stack_id="torch-1,cpu,exact")


@pytest.fixture
def negative():
    latents = np.random.default_rng(0).normal(size=(1, 16, 9, 8, 8)).astype(np.float32)
    return Negative(latents, bytes(range(256)) * 20)


@pytest.fixture
def path(tmp_path, negative):
    file = tmp_path / "3.safetensors"
    write_negative(file, negative, ORIGIN)
    return file


def test_what_was_written_is_read(path, negative):
    read = read_negative(path, chunk=3, model_digest="a" * 64)
    assert np.array_equal(read.latents, negative.latents)
    assert read.generator_state == negative.generator_state


def test_the_same_negative_gives_the_same_bytes(path, negative, tmp_path):
    write_negative(tmp_path / "again", negative, ORIGIN)
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_nothing_but_the_file_is_left(path):
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_leaves_the_earlier_file(path, negative, monkeypatch):
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_negative(path, Negative(negative.latents * 2, b""), ORIGIN)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_what_came_before_a_clip_and_changes_of_prompt_are_kept(tmp_path, negative):
    before = np.ones((1, 16, 19, 8, 8), np.float32)
    steered = (PromptMark(chunk=2, prompt="Night falls.", blend_chunks=1),)
    whole = replace(negative, anchor=before[:, :, :1], before=before, steered=steered)
    write_negative(tmp_path / "0", whole, replace(ORIGIN, chunk=0))
    read = read_negative(tmp_path / "0", chunk=0, model_digest="a" * 64)
    assert np.array_equal(read.before, before)
    assert np.array_equal(read.anchor, before[:, :, :1])
    assert read.steered == steered


@pytest.mark.parametrize("where", [-1, 0.9, 0.5, 0.0])
def test_one_flipped_bit_is_seen(path, where):
    content = bytearray(path.read_bytes())
    start = 8 + int.from_bytes(content[:8], "little")
    at = where if isinstance(where, int) else start + int((len(content) - start) * where)
    content[at] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"3\.safetensors: damaged"):
        read_negative(path, chunk=3, model_digest="a" * 64)


def test_a_negative_of_version_1_is_still_read(path, negative):
    header = {"format_version": 1, "chunk": 3, "model_digest": "a" * 64, "stack_id": "s"}
    state = np.frombuffer(negative.generator_state, np.uint8)
    tensors = {"latents": negative.latents, "generator_state": state}
    save_file(tensors, path, {"heliostat": json.dumps(header)})
    read = read_negative(path, chunk=3, model_digest="a" * 64)
    assert np.array_equal(read.latents, negative.latents)
    assert (read.anchor, read.before, read.steered) == (None, None, ())


def test_another_models_negative_is_refused(path):
    with pytest.raises(CheckpointError, match=r"model digest is 'aaa.*expected 'bbb"):
        read_negative(path, chunk=3, model_digest="b" * 64)


def test_another_chunks_negative_is_refused(path):
    with pytest.raises(CheckpointError, match="chunk is 3, expected 2"):
        read_negative(path, chunk=2, model_digest="a" * 64)


@pytest.mark.parametrize("kept", [0, 5, 100, -1])
def test_a_file_cut_short_is_refused_by_name(path, kept):
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match=re.escape(str(path))):
        read_negative(path, chunk=3, model_digest="a" * 64)


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(CheckpointError, match=r"none\.safetensors: not a readable negative"):
        read_negative(tmp_path / "none.safetensors", chunk=0, model_digest="")


def test_other_safetensors_are_refused(tmp_path):
    save_file({"weight": np.zeros(3)}, tmp_path / "weights.safetensors")
    with pytest.raises(CheckpointError, match="format version is None, expected 2"):
        read_negative(tmp_path / "weights.safetensors", chunk=0, model_digest="")
