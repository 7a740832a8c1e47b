"""Object keys and file names: any name goes in, nothing unsafe comes out."""

import os
import string
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.domain.names import (
    OBJECT_KINDS,
    batch_prefix,
    object_key,
    parse_object_key,
    safe_file_name,
    slug,
    unique_file_names,
)

SHA = "0123456789abcdef" * 4
NASTY = st.sampled_from(
    ["", ".", "..", "../../etc/passwd", "a/b", "CON", "con.txt", "nul", "LPT¹", "COM1 ", "🎬🎞️", "Ж",
     "シーン 1", "e\u0301", "é", "a\u202egnp.exe", "x" * 300, "é" * 300, " a ", "a.", "~", "-rf",
     "a\0b", "a\nb", "\ud800", "%2e%2e", "A", "a", "straße", "STRASSE", "👩‍👩‍👧‍👦" * 30]
)  # fmt: skip
NAMES = st.one_of(NASTY, st.text(max_size=80), st.text(st.characters(), max_size=20))
SAFE = set(string.ascii_letters + string.digits + "._~-")

unhurried = settings(deadline=None)  # a loaded machine is no finding


def key_of(**changes: object) -> str:
    parts: dict = {
        "project": "p", "batch": "b", "clip": "c", "version": 1, "attempt": 1,
        "kind": "segment", "sha256_hex": SHA, "ext": "mp4",
    }  # fmt: skip
    return object_key(**(parts | changes))


def test_a_key_reads_like_the_path_of_its_object():
    key = object_key(
        project="Moon Show", batch="b1", clip="shot_010", version=2, attempt=3,
        kind="negative", chunk=7, sha256_hex=SHA, ext="safetensors",
    )  # fmt: skip
    head, rest = key.split("/", 1)
    assert head.startswith("Moon-Show~")
    assert rest == "b1/shot_010/v002/a3/negative-00007-0123456789abcdef.safetensors"


@unhurried
@given(NAMES, NAMES, NAMES)
def test_no_name_escapes_its_place_in_the_key(project, batch, clip):
    key = key_of(project=project, batch=batch, clip=clip)
    parts = key.split("/")
    assert len(parts) == 6
    assert all(part and part not in {".", ".."} for part in parts)
    assert all(set(part) <= SAFE and not part.startswith(".") for part in parts)
    assert len(key) <= 300
    assert key.startswith(batch_prefix(project, batch))


@unhurried
@given(NAMES, NAMES)
def test_different_names_have_different_slugs(one, other):
    assert (slug(one) == slug(other)) == (one == other)


@unhurried
@given(st.text(string.ascii_letters + string.digits + "_", min_size=1, max_size=64))
def test_a_plain_name_stays_readable(name):
    assert slug(name) == name


@unhurried
@given(NAMES)
def test_a_slug_cannot_be_taken_by_naming_a_clip_after_it(name):
    if slug(name) != name:
        assert slug(slug(name)) != slug(name)


@unhurried
@given(
    NAMES,
    st.sampled_from(OBJECT_KINDS),
    st.integers(1, 5000),
    st.integers(1, 10**6),
    st.integers(0, 99_999),
)
def test_a_key_can_be_read_back(clip, kind, version, attempt, chunk):
    key = key_of(clip=clip, kind=kind, version=version, attempt=attempt, chunk=chunk)
    parsed = parse_object_key(key)
    assert parsed is not None
    assert str(parsed) == key
    assert (parsed.clip, parsed.kind) == (slug(clip), kind)
    assert (parsed.version, parsed.attempt, parsed.chunk) == (version, attempt, chunk)


@pytest.mark.parametrize("key", ["", "a/b", key_of() + "x/y", key_of().replace("segment", "take2")])
def test_foreign_keys_are_not_ours(key):
    assert parse_object_key(key) is None


@pytest.mark.parametrize(
    "changes",
    [{"version": 0}, {"attempt": 0}, {"chunk": -1}, {"chunk": 100_000}, {"kind": "film"},
     {"sha256_hex": "ABC"}, {"sha256_hex": SHA.upper()}, {"ext": ".mp4"}, {"ext": "m/4"}],
)  # fmt: skip
def test_a_key_of_nonsense_is_refused(changes):
    with pytest.raises(ValueError, match=r"version|kind|SHA-256|extension"):
        key_of(**changes)


@unhurried
@given(NAMES, st.integers(1, 999))
def test_a_file_name_is_safe_everywhere(name, version):
    file_name = safe_file_name(name, version, "mp4")
    assert len(file_name.encode()) <= 200
    assert not set(file_name) & set('<>:"/\\|?*')
    assert all(unicodedata.category(c) not in {"Cc", "Cs", "Zl", "Zp"} for c in file_name)
    assert file_name[0] not in ".- ~"
    assert file_name == file_name.rstrip(". ")
    first = file_name.split(".")[0].rstrip().upper()
    assert first not in {"CON", "PRN", "AUX", "NUL", "COM1", "LPT1", "LPT¹"}
    assert file_name.endswith(f"_v{version:03}.mp4") or len(file_name.encode()) > 150
    assert unicodedata.is_normalized("NFC", file_name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("shot_010", "shot_010_v001.mp4"),
        ("シーン 1 🎬", "シーン 1 🎬_v001.mp4"),
        ("CON", "CON_v001.mp4"),
        ("con.final", "_con.final_v001.mp4"),
        ("a/b\\c:d", "a_b_c_d_v001.mp4"),
        ("", "clip_v001.mp4"),
        ("..", "clip_v001.mp4"),
        (".hidden", "_.hidden_v001.mp4"),
    ],
)
def test_file_names_people_will_meet(name, expected):
    assert safe_file_name(name, 1, "mp4") == expected


def test_long_names_that_differ_at_their_end_stay_different():
    one, other = (safe_file_name("長" * 100 + end, 1, "mp4") for end in "ab")
    assert one != other
    assert max(len(one.encode()), len(other.encode())) <= 200


@unhurried
@given(st.lists(NAMES, max_size=12))
def test_unique_file_names_are_unique_on_every_file_system_and_stable(names):
    files = [safe_file_name(name, 1, "mp4") for name in names]
    unique = unique_file_names(files)
    folded = [unicodedata.normalize("NFD", name).casefold() for name in unique]
    assert len(set(folded)) == len(files)
    assert unique_file_names(files) == unique
    assert all(len(name.encode()) <= 200 for name in unique)
    assert unique_file_names(unique) == unique


def test_collisions_keep_the_first_name():
    assert unique_file_names(["Shot.mp4", "shot.mp4", "SHOT.mp4", "shot~2.mp4"]) == [
        "Shot.mp4", "shot~3.mp4", "SHOT~4.mp4", "shot~2.mp4",
    ]  # fmt: skip


@unhurried
@given(st.lists(NAMES, max_size=6))
def test_every_file_name_can_really_be_written(names):
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        files = unique_file_names([safe_file_name(name, 1, "mp4") for name in names])
        for name in files:
            Path(directory, name).write_bytes(b"")
        assert sorted(os.listdir(directory)) == sorted(files)
