"""A model directory that differs from its manifest in anything is refused, file by file."""

import json
import os
import subprocess
import sys
from hashlib import sha256

import pytest

from node_agent.models import (
    MANIFEST_NAME,
    ModelError,
    describe,
    load_manifest,
    load_verified,
    verify,
    write_manifest,
)
from node_agent.models.stamps import STAMPS_NAME, Stamps
from tests.fixtures.paper_model import WEIGHTS


def rewrite_manifest(model, path, **fields):
    """What somebody would do who wants a damaged file to pass."""
    file = model / MANIFEST_NAME
    content = json.loads(file.read_text())
    next(entry for entry in content["files"] if entry["path"] == path).update(fields)
    file.write_text(json.dumps(content))


def problems(model, **options):
    return {problem.path: problem.what for problem in verify(model, **options)}


def test_an_intact_model_has_no_problems(model):
    assert problems(model) == {}
    manifest = load_verified(model)
    assert (manifest.name, manifest.variant, manifest.revision) == (
        "helios-paper",
        "distilled",
        "abc123",
    )
    assert [file.path for file in manifest.files] == sorted(file.path for file in manifest.files)


def test_a_flipped_bit_is_found(model):
    content = bytearray((model / WEIGHTS).read_bytes())
    content[-500] ^= 1
    (model / WEIGHTS).write_bytes(content)
    assert "SHA-256 differs" in problems(model)[WEIGHTS]


def test_a_truncated_file_is_found_by_its_size(model):
    content = (model / WEIGHTS).read_bytes()
    (model / WEIGHTS).write_bytes(content[:-1])
    said = f"{len(content) - 1} bytes, the manifest says {len(content)}"
    assert problems(model)[WEIGHTS].startswith(said)


def test_a_missing_file_is_found(model):
    (model / WEIGHTS).unlink()
    assert problems(model)[WEIGHTS].startswith("missing")


def test_an_extra_file_is_found(model):
    (model / "extra.safetensors").write_bytes(b"")
    assert "not in the manifest" in problems(model)["extra.safetensors"]


@pytest.mark.parametrize("name", ["pipeline.py", "weights.bin", "weights.pt", "x.pkl", "a.so", "b"])
def test_code_and_pickles_are_refused_even_when_listed(model, name):
    (model / name).write_bytes(b"x")
    assert "not a file that a model may have" in problems(model)[name]
    with pytest.raises(ModelError, match=name):
        write_manifest(model, name="helios-paper", revision="abc123")


def test_a_pickle_under_the_name_of_weights_is_refused_even_when_listed(model):
    pickled = b"\x80\x04cos\nsystem\n(S'true'\ntR."
    (model / WEIGHTS).write_bytes(pickled)
    with pytest.raises(ModelError, match=f"{WEIGHTS}: not safetensors"):
        write_manifest(model, name="helios-paper", revision="abc123")
    rewrite_manifest(model, WEIGHTS, size=len(pickled), sha256=sha256(pickled).hexdigest())
    assert problems(model).keys() == {WEIGHTS}
    assert "not safetensors" in problems(model)[WEIGHTS]


def test_weights_with_a_program_behind_them_are_refused_even_when_listed(model):
    content = (model / WEIGHTS).read_bytes() + b"import os"
    (model / WEIGHTS).write_bytes(content)
    rewrite_manifest(model, WEIGHTS, size=len(content), sha256=sha256(content).hexdigest())
    assert "not safetensors" in problems(model)[WEIGHTS]


def test_a_link_out_of_the_directory_is_refused(model, tmp_path):
    outside = tmp_path / "outside.safetensors"
    outside.write_bytes(bytes(1000))
    (model / WEIGHTS).unlink()
    (model / WEIGHTS).symlink_to(outside)
    assert "links out of the directory" in problems(model)[WEIGHTS]


def test_a_linked_folder_is_refused(model, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (model / "vae").symlink_to(tmp_path / "elsewhere")
    assert "links out of the directory" in problems(model)["vae"]


def test_every_problem_is_reported_at_once(model):
    (model / WEIGHTS).unlink()
    (model / "hook.py").write_text("")
    (model / "transformer" / "config.json").write_text("{}")
    assert set(problems(model)) == {WEIGHTS, "hook.py", "transformer/config.json"}
    with pytest.raises(ModelError, match="3 problem"):
        load_verified(model)


def test_remembered_hashes_still_notice_a_change(model, tmp_path):
    stamps = tmp_path / "cache" / "stamps.json"
    assert problems(model, stamps=stamps) == {}
    assert problems(model, stamps=stamps) == {}
    weights = model / WEIGHTS
    before = weights.stat().st_mtime_ns
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    os.utime(weights, ns=(before + 1, before + 1))
    assert WEIGHTS in problems(model, stamps=stamps)


def test_a_remembered_hash_is_not_computed_again(model, tmp_path, monkeypatch):
    stamps = tmp_path / "stamps.json"
    verify(model, stamps=stamps)
    monkeypatch.setattr(
        "node_agent.models.stamps.sha256_of_file", lambda *_: pytest.fail("read again")
    )
    assert problems(model, stamps=stamps) == {}


def test_a_broken_cache_is_made_again(model, tmp_path):
    (tmp_path / "stamps.json").write_text("{")
    assert problems(model, stamps=tmp_path / "stamps.json") == {}
    assert WEIGHTS in (tmp_path / "stamps.json").read_text()


def test_the_digest_is_of_what_the_manifest_says_not_of_how_it_is_written(model):
    digest = load_manifest(model).digest
    path = model / MANIFEST_NAME
    path.write_text(json.dumps(json.loads(path.read_text()), indent=7))
    assert load_manifest(model).digest == digest
    content = json.loads(path.read_text())
    content["revision"] = "def456"
    path.write_text(json.dumps(content))
    assert load_manifest(model).digest != digest


def test_a_directory_without_manifest_is_no_model(tmp_path):
    with pytest.raises(ModelError, match="no manifest"):
        verify(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format_version": 1}'])
def test_a_broken_manifest_is_named(model, text):
    (model / MANIFEST_NAME).write_text(text)
    with pytest.raises(ModelError, match=MANIFEST_NAME):
        verify(model)


def test_a_manifest_of_a_later_format_asks_for_the_right_version(model):
    path = model / MANIFEST_NAME
    path.write_text(json.dumps({**json.loads(path.read_text()), "format_version": 2}))
    with pytest.raises(ModelError, match="format version 2, this node reads 1"):
        verify(model)


@pytest.mark.parametrize("path", ["../weights.safetensors", "/etc/passwd", ""])
def test_a_manifest_may_not_name_files_elsewhere(model, path):
    file = model / MANIFEST_NAME
    content = json.loads(file.read_text())
    content["files"][0]["path"] = path
    file.write_text(json.dumps(content))
    with pytest.raises(ModelError, match="outside the model's directory"):
        verify(model)


def test_the_shape_is_read_from_the_configurations(model):
    info = describe(model)
    assert info.variant == "distilled"
    assert (info.layers, info.heads, info.head_dim) == (40, 40, 128)
    assert (info.ffn_dim, info.text_dim, info.max_tokens) == (13824, 4096, 512)
    assert info.default_steps == (2, 2, 2)


def test_another_pipeline_is_no_helios(model):
    (model / "model_index.json").write_text('{"_class_name": "WanPipeline"}')
    with pytest.raises(ModelError, match="'WanPipeline' is no Helios pipeline"):
        describe(model)


def test_everything_is_read_again_on_demand(model, tmp_path):
    stamps = tmp_path / "stamps.json"
    assert problems(model, stamps=stamps) == {}
    weights = model / WEIGHTS
    before = weights.stat()
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert problems(model, stamps=stamps) == {}, "as a disk that rots would hide it"
    assert WEIGHTS in problems(model, stamps=stamps, reread=True)


def test_processes_that_share_a_cache_keep_what_others_found(model, build, tmp_path):
    other = build("other", seed=1)
    write_manifest(other, name="other", revision="1")
    mine, theirs = Stamps(tmp_path / "stamps.json"), Stamps(tmp_path / "stamps.json")
    mine.sha256(model / WEIGHTS)
    theirs.sha256(other / WEIGHTS)
    mine.save()
    theirs.save()
    shared = Stamps(tmp_path / "stamps.json")
    assert shared.known(model / WEIGHTS)
    assert shared.known(other / WEIGHTS)


def test_what_is_known_beside_the_model_is_believed_and_never_written(model, tmp_path):
    """As on a volume that many nodes mount and only one fills."""
    beside = model.parent / STAMPS_NAME
    assert problems(model, stamps=beside) == {}
    said, own = beside.read_bytes(), tmp_path / "node" / STAMPS_NAME
    weights = model / WEIGHTS
    before = weights.stat()
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert problems(model, stamps=own) == {}, "it was not read again"
    assert WEIGHTS in problems(model, stamps=own, reread=True)
    os.utime(weights)
    assert WEIGHTS in problems(model, stamps=own), "it is not the file that was hashed"
    assert beside.read_bytes() == said
    assert Stamps(None).known(weights) is None


def test_looking_at_a_model_does_not_load_torch():
    program = "import sys, node_agent.models; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
