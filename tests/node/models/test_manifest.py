"""A manifest names one set of bytes; what it may say is checked before anything trusts it."""

import json
from hashlib import sha256

import pytest

from node_agent.models import (
    LORA,
    MANIFEST_NAME,
    MODEL,
    Manifest,
    ModelError,
    ModelFile,
    load_manifest,
    load_verified,
    load_verified_lora,
    write_manifest,
)


def test_models_pinned_before_there_were_loras_keep_their_bytes_and_digest():
    manifest = Manifest("m", "base", "r", (ModelFile("a.json", 1, "0" * 64),))
    canonical = (
        '{"files":[{"path":"a.json","sha256":"' + "0" * 64 + '","size":1}],"format_version":1,'
        '"name":"m","revision":"r","variant":"base"}'
    )
    assert manifest.digest == sha256(canonical.encode()).hexdigest()
    assert json.loads(manifest.to_bytes()) == json.loads(canonical)


def test_a_model_that_says_its_kind_is_the_same_model(model):
    before = load_manifest(model)
    path = model / MANIFEST_NAME
    path.write_text(json.dumps({**json.loads(path.read_text()), "kind": "model"}))
    assert load_manifest(model) == before
    assert load_manifest(model).digest == before.digest


def test_weights_without_an_index_are_a_lora(lora):
    manifest = write_manifest(lora, name="film-grain", revision="v2")
    assert (manifest.kind, manifest.variant) == (LORA, "")
    assert load_verified_lora(lora) == manifest
    assert [file.path for file in manifest.files] == ["film-grain.safetensors"]


def test_a_lora_is_verified_like_a_model(lora):
    write_manifest(lora, name="film-grain", revision="v2")
    weights = lora / "film-grain.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    (lora / "merge.py").write_text("")
    with pytest.raises(ModelError, match=r"(?s)film-grain\.safetensors.*merge\.py"):
        load_verified_lora(lora)


def test_a_lora_is_not_loaded_as_a_model_nor_a_model_as_a_lora(model, lora):
    write_manifest(lora, name="film-grain", revision="v2")
    with pytest.raises(ModelError, match=f"a {LORA}, where a {MODEL} is wanted"):
        load_verified(lora)
    with pytest.raises(ModelError, match=f"a {MODEL}, where a {LORA} is wanted"):
        load_verified_lora(model)


def test_a_directory_without_weights_is_neither(tmp_path):
    (tmp_path / "film").mkdir()
    (tmp_path / "film" / "notes.txt").write_text("none")
    with pytest.raises(ModelError, match="no model, and no"):
        write_manifest(tmp_path / "film", name="film", revision="1")


@pytest.mark.parametrize("name", ["", "../up", "a/b", "with space", "x" * 101, ".hidden"])
def test_a_name_that_is_no_directory_name_is_refused(model, name):
    with pytest.raises(ModelError, match="no name for a model"):
        write_manifest(model, name=name, revision="1")
    path = model / MANIFEST_NAME
    path.write_text(json.dumps({**json.loads(path.read_text()), "name": name}))
    with pytest.raises(ModelError, match="no name for a model"):
        load_manifest(model)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"path": "a//b.json"}, "no proper path"),
        ({"path": "./a.json"}, "no proper path"),
        ({"path": "a\n.json"}, "no proper path"),
        ({"path": MANIFEST_NAME}, "no proper path"),
        ({"size": -1}, "no size"),
        ({"size": "12"}, "no size"),
        ({"sha256": "ABC"}, "no SHA-256"),
    ],
)
def test_an_entry_that_means_nothing_clear_is_refused(model, change, said):
    path = model / MANIFEST_NAME
    content = json.loads(path.read_text())
    content["files"][0].update(change)
    path.write_text(json.dumps(content))
    with pytest.raises(ModelError, match=said):
        load_manifest(model)


def test_a_file_named_twice_is_refused(model):
    path = model / MANIFEST_NAME
    content = json.loads(path.read_text())
    content["files"].append(content["files"][0])
    path.write_text(json.dumps(content))
    with pytest.raises(ModelError, match="names a file twice"):
        load_manifest(model)


def test_an_unknown_kind_is_refused(model):
    path = model / MANIFEST_NAME
    path.write_text(json.dumps({**json.loads(path.read_text()), "kind": "adapter"}))
    with pytest.raises(ModelError, match="kind 'adapter'; there are model and lora"):
        load_manifest(model)
