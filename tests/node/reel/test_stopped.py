"""A render that was stopped, or whose disk was full, goes on; what is wrong is said in one line."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from node_agent.film import pictures
from node_agent.reel.reel import Reel, reel_of
from tests.node.reel.conftest import Said, Studio, farm_node, files

LIMIT = 20_000
"""Bytes of a file: enough for a record, too few for a negative."""


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-P", "-m", "node_agent.cli", *map(str, arguments)]


def copied(film: Path, folder: Path) -> Path:
    """The same film and reel, to be spoiled."""
    copy = folder / film.name
    shutil.copy(film, copy)
    shutil.copytree(reel_of(film), reel_of(copy))
    return copy


def refused(said: Said, code: int, *words: str) -> None:
    assert said.code == code, said
    assert "Traceback" not in said.err
    for word in words:
        assert word in said.err, said.err


def test_ctrl_c_leaves_the_reel_and_the_same_command_goes_on(studio, whole):
    film = studio.folder / "stopped.mp4"
    asked = (*studio.asked("--frames", 190), "--out", film)
    with subprocess.Popen(command(*asked), stderr=subprocess.PIPE, text=True) as process:
        first = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 130, rest
    assert first.startswith("chunk 0: 33 frames")
    kept = len(Reel.open(reel_of(film)).record.chunks)
    assert f"{kept} of 6 chunks are kept. To go on: farm-node render" in rest
    assert not film.exists()
    assert 1 <= kept < 6

    said = farm_node(*asked)
    assert said.code == 0, said
    assert f"chunk {kept - 1}:" not in said.err
    assert f"chunk {kept}:" in said.err
    assert files(film, "negative")[:3] == files(whole, "negative")
    assert len(list(pictures(film))) == 190


def test_a_full_disk_is_named_with_the_clip_and_the_clip_goes_on(studio, trimmed):
    """A limit on the size of files stands in for a full disk: the write itself fails."""
    film = studio.folder / "full.mp4"
    asked = (*studio.asked("--frames", 34), "--out", film)
    done = subprocess.run(
        command(*asked),
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT)),
    )
    refused(Said(done.returncode, done.stdout, done.stderr), 1, "full: ", os.strerror(27))
    assert farm_node(*asked).code == 0
    assert film.read_bytes() == trimmed.read_bytes()


def test_a_clip_asked_for_otherwise_is_refused_with_what_differs(studio, trimmed):
    said = farm_node(*studio.asked("--frames", 34, "--seed", 5), "--out", trimmed)
    refused(said, 2, "seed 5 (the reel has 0)", "--fresh")
    assert "recipe" not in said.err
    said = farm_node(*studio.asked("--frames", 67, prompt="A cat."), "--out", trimmed)
    refused(said, 2, "prompt 'A cat.'", "frames 67 (the reel has 34)")


def test_a_cap_that_is_too_small_is_refused_with_numbers_and_what_is_there_stays(studio, trimmed):
    """On a CPU `--vram` rehearses a card; the same command goes on without it."""
    longer = ("extend", trimmed, "--frames", 66, "--vram", "1.5G", "--ram", "64GiB", "--pageable")
    said = farm_node(*longer, "--out", studio.folder / "capped.mp4")
    refused(said, 1, "GPU memory, 4.3 GB of it to work in; 1.5 GB are there", "--vram")
    said = farm_node(*studio.asked("--vram", "a lot"), "--out", studio.folder / "none.mp4")
    refused(said, 2, "'a lot' is no size of memory: write 8G")


def test_starting_over_drops_the_reel(studio, trimmed, tmp_path):
    film = copied(trimmed, tmp_path)
    asked = studio.asked("--frames", 1, "--seed", 5)
    assert farm_node(*asked, "--fresh", "--out", film).code == 0
    record = Reel.open(reel_of(film)).record
    assert (record.spec.seed, len(record.chunks)) == (5, 1)
    assert not (reel_of(film) / "chunk-00001.m4s").exists()


def test_a_picture_that_is_none_is_named_with_the_clip_and_leaves_nothing(studio, tmp_path):
    """Asked again with what was wrong put right, nobody needs --fresh."""
    picture = tmp_path / "words.png"
    picture.write_text("no picture")
    out = ("--out", tmp_path / "fox.mp4")
    said = farm_node(*studio.asked("--frames", 33, "--image", picture), *out)
    refused(said, 1, "fox: ", "words.png", "not a picture")
    assert farm_node(*studio.asked("--frames", 33), *out).code == 0


def test_a_film_without_a_reel_is_not_overwritten(studio, tmp_path):
    film = tmp_path / "holiday.mp4"
    film.write_bytes(b"mine")
    refused(farm_node(*studio.asked(), "--out", film), 2, "has no reel")
    assert film.read_bytes() == b"mine"


@pytest.mark.parametrize("kind", ["negative", "segment"])
def test_a_flipped_bit_is_found_before_anything_is_rendered(trimmed, tmp_path, kind):
    film = copied(trimmed, tmp_path)
    reel = Reel.open(reel_of(film))
    spoiled = reel.path(getattr(reel.record.chunks[0], kind))
    content = bytearray(spoiled.read_bytes())
    content[len(content) // 2] ^= 1
    spoiled.write_bytes(content)
    said = farm_node("extend", film, "--frames", 90, "--out", tmp_path / "longer.mp4")
    refused(said, 1, spoiled.name, "damaged")
    assert not (tmp_path / "longer.mp4").exists()


def test_another_model_is_refused(trimmed, tmp_path):
    from node_agent.render.helios.tiny import build_tiny

    build_tiny(tmp_path / "other", seed=1)
    options = ("--frames", 90, "--out", tmp_path / "longer.mp4")
    said = farm_node("extend", trimmed, *options, "--model", tmp_path / "other")
    refused(said, 1, "trimmed: ", "digest")
    said = farm_node("extend", trimmed, *options, "--model", tmp_path / "nothing")
    refused(said, 1, "nothing")


def test_wrong_usage_says_what_would_be_right(studio: Studio, trimmed, tmp_path):
    out = ("--out", tmp_path / "x.mp4")
    for options, words in (
        (("--size", "64"), "640x384"),
        (("--size", "100x64"), "multiples of 64"),
        (("--steps", "2,x"), "2,2,2"),
        (("--schedule", "later: x"), "MARK: PROMPT"),
        (("--schedule", "9: x"), "schedule at chunks"),
        (("--lora", ":1"), "NAME:0.8"),
        (("--device", "gpu"), "cuda:0"),
        (("--vae", "tiny"), "this model has none"),
        (("--guidance-scale", "3"), "distilled"),
    ):
        refused(farm_node(*studio.asked(*options), *out), 2, words)
    refused(farm_node(*studio.asked(), "--out", tmp_path / "x.mov"), 2, ".mp4")
    refused(farm_node("extend", trimmed, "--frames", 34, *out), 2, "the clip has 34")
    refused(farm_node("extend", trimmed, "--frames", 60, "--prompt", "x", *out), 2, "more than 66")
    refused(farm_node("extend", trimmed, "--frames", 60, "--out", trimmed), 2, "itself")
    refused(farm_node("branch", trimmed, "--from-chunk", 2, *out), 2, "chunk 1 to 1")
    refused(farm_node("redecode", trimmed, "--out", trimmed), 2, "is there")
    for name, options, words in (
        ("x.avi", (), ".mkv"),
        ("x.mov", ("--codec", "av1"), ".mp4"),
        ("x.mov", ("--crf", 20), "prores has no such number"),
        ("x.mp4", ("--codec", "av1", "--crf", 64), "0 to 63"),
    ):
        said = farm_node("redecode", trimmed, "--out", tmp_path / name, *options)
        refused(said, 2, words)
    assert not list(tmp_path.iterdir()), "nothing begins"


def test_a_film_whose_reel_is_gone_is_named(tmp_path):
    said = farm_node("extend", tmp_path / "a.mp4", "--frames", 9, "--out", tmp_path / "b.mp4")
    refused(said, 1, "a.reel", "no reel")
