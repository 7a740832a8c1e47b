"""From a hub comes one commit, the pipeline's files alone, each as the hub lists it."""

import os
import subprocess
import sys

import pytest

from node_agent.models import LORA, ModelError, load_manifest, load_verified, verify
from node_agent.models.fetch import Patience
from node_agent.models.hub import Commit, HubFile, fetch_from_hub, needed_files, resolve
from node_agent.models.watch import Unwatched
from tests.fixtures.hub import FakeHub
from tests.fixtures.paper_model import WEIGHTS

HASTY = Patience(tries_max=2, corrupted_max=2, wait_seconds_max=0)
REPOSITORY = "BestWishYsh/Helios-Paper"
OTHERS = {
    "README.md": b"# Helios",
    "pipeline.py": b"print('hello')",
    "assets/demo.mp4": b"film",
    "transformer/modeling.py": b"print('hello')",
    "transformer/README.md": b"# Transformer",
    "transformer/diffusion_pytorch_model.bin": b"\x80\x04",
    "transformer/old.pt": b"\x80\x04",
    "image_encoder/model.safetensors": b"unused",
    "transformer_ode/model.safetensors": b"unused",
}


@pytest.fixture
def hub():
    with FakeHub(REPOSITORY) as hub:
        yield hub


@pytest.fixture
def published(hub, build):
    """A directory that is the hub's newest commit, with all that repositories have besides."""
    directory = build("published", floats=50_000)
    (directory / "LICENSE").write_text("Apache-2.0")
    for path, content in OTHERS.items():
        (directory / path).parent.mkdir(exist_ok=True)
        (directory / path).write_bytes(content)
    hub.commit(directory)
    return directory


@pytest.fixture
def bring(hub, tmp_path):
    def bring(revision="", target=None, **options):
        commit = resolve(REPOSITORY, revision, hub.url)
        return fetch_from_hub(commit, target or tmp_path / "copy", **options)

    return bring


def test_a_branch_becomes_its_commit_and_the_manifest_says_which(hub, published, bring, tmp_path):
    assert bring("main")
    manifest = load_verified(tmp_path / "copy")
    assert manifest.revision == hub.branches["main"]
    assert manifest.name == "Helios-Paper"
    assert (tmp_path / "copy" / WEIGHTS).read_bytes() == (published / WEIGHTS).read_bytes()


def test_two_nodes_that_fetch_a_commit_have_the_same_digest(hub, published, bring, tmp_path, build):
    commit = hub.branches["main"]
    bring("main", tmp_path / "one")
    hub.commit(build("newer", seed=1))
    bring(commit, tmp_path / "two")
    one, two = load_manifest(tmp_path / "one"), load_manifest(tmp_path / "two")
    assert one.digest == two.digest
    assert resolve(REPOSITORY, "main", hub.url).sha != commit


def test_only_what_the_pipeline_needs_is_asked_for(hub, published, bring, tmp_path):
    bring()
    wanted = {
        "LICENSE",
        "model_index.json",
        "scheduler/scheduler_config.json",
        "transformer/config.json",
        WEIGHTS,
    }
    assert {file.path for file in load_manifest(tmp_path / "copy").files} == wanted
    assert {path for path, _ in hub.asked} == wanted
    assert not (tmp_path / "copy" / ".cache").exists()


def test_a_repository_of_weights_alone_is_a_lora(hub, lora, bring, tmp_path):
    (lora / "train.py").write_text("")
    hub.commit(lora)
    bring()
    manifest = load_manifest(tmp_path / "copy")
    assert (manifest.kind, [file.path for file in manifest.files]) == (
        LORA,
        ["film-grain.safetensors"],
    )


def test_a_repository_without_safetensors_is_refused(hub, tmp_path, bring):
    (tmp_path / "pickles").mkdir()
    (tmp_path / "pickles" / "weights.bin").write_bytes(b"\x80\x04")
    hub.commit(tmp_path / "pickles")
    with pytest.raises(ModelError, match=r"no \.safetensors weights"):
        bring()
    assert hub.asked == []


@pytest.mark.parametrize("path", ["../escaped.safetensors", "/etc/x.safetensors"])
def test_a_hub_that_lists_a_file_elsewhere_is_refused(path):
    listed = HubFile(f"transformer/{path}", 1, "0" * 40, "0" * 64)
    with pytest.raises(ModelError, match=r"outside the model|no proper path"):
        needed_files(Commit(REPOSITORY, "0" * 40, (listed,)), {"transformer": ["a", "b"]})


def test_a_file_that_is_not_what_the_hub_lists_is_refused_and_fetched_anew(
    hub, published, bring, tmp_path
):
    for path in ("scheduler/scheduler_config.json", WEIGHTS):
        hub.spoiled = {path}
        with pytest.raises(ModelError, match=path):
            bring(patience=HASTY)
        assert not (tmp_path / "copy").exists()
    hub.spoiled = set()
    bring()
    assert verify(tmp_path / "copy") == []


def test_a_broken_download_goes_on_where_it_broke(hub, published, bring, tmp_path):
    hub.break_after = {WEIGHTS: 60_000}
    bring()
    ranges = [asked for path, asked in hub.asked if path == WEIGHTS]
    assert ranges == ["", "bytes=60000-"]
    assert (tmp_path / "copy" / WEIGHTS).read_bytes() == (published / WEIGHTS).read_bytes()


def test_a_download_that_was_stopped_goes_on_where_it_was(hub, published, bring, tmp_path):
    class Stops(Unwatched):
        def advance(self, count):
            if hub.broken:
                raise KeyboardInterrupt

    hub.break_after = {WEIGHTS: 60_000}
    with pytest.raises(KeyboardInterrupt):
        bring(watch=Stops())
    assert not (tmp_path / "copy").exists()
    hub.asked.clear()
    bring()
    assert hub.asked == [(WEIGHTS, "bytes=60000-")], "the small files are there already"
    assert (tmp_path / "copy" / WEIGHTS).read_bytes() == (published / WEIGHTS).read_bytes()


def test_a_token_stays_with_the_hub_and_a_signature_out_of_messages(
    hub, published, bring, monkeypatch
):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.gone = {WEIGHTS}
    with pytest.raises(ModelError, match=WEIGHTS) as failed:
        bring(patience=HASTY)
    assert "s3cr3t" not in str(failed.value)
    hub.gone = set()
    bring()
    assert set(hub.home_seen) == {""}
    assert "Bearer hf_secret" in hub.tokens_seen


def test_a_commit_that_is_there_is_not_fetched_again_but_a_damaged_one_is(
    hub, published, bring, tmp_path
):
    bring()
    hub.asked.clear()
    assert not bring()
    assert hub.asked == []
    (tmp_path / "copy" / WEIGHTS).write_bytes(b"")
    assert bring()
    assert verify(tmp_path / "copy") == []


def test_another_commit_is_not_put_over_a_model(hub, published, bring, build, tmp_path):
    bring()
    hub.commit(build("newer", seed=1))
    with pytest.raises(ModelError, match="name another directory"):
        bring()
    assert verify(tmp_path / "copy") == []


@pytest.mark.parametrize(
    ("repository", "revision"), [("Nobody/Nothing", "main"), (REPOSITORY, "a-branch-of-no-one")]
)
def test_what_the_hub_does_not_have_is_named(hub, published, repository, revision):
    with pytest.raises(ModelError, match=repository):
        resolve(repository, revision, hub.url)


def test_a_hub_that_is_not_there_is_an_error_of_ours(tmp_path):
    with FakeHub(REPOSITORY) as hub:
        url = hub.url
    with pytest.raises(ModelError, match=REPOSITORY):
        resolve(REPOSITORY, "main", url)
    with pytest.raises(ModelError, match=REPOSITORY):
        fetch_from_hub(Commit(REPOSITORY, "0" * 40, (), url), tmp_path / "copy")


def test_fetching_works_where_rendering_has_put_the_hub_off_limits(hub, published, tmp_path):
    program = (
        "import sys, node_agent.render.helios, huggingface_hub; from pathlib import Path;"
        "from node_agent.models.hub import resolve, fetch_from_hub;"
        "assert huggingface_hub.is_offline_mode();"
        "commit = resolve(sys.argv[1], 'main', sys.argv[2]);"
        "fetch_from_hub(commit, Path(sys.argv[3]));"
        "assert huggingface_hub.is_offline_mode()"
    )
    subprocess.run(
        [sys.executable, "-c", program, REPOSITORY, hub.url, tmp_path / "copy"],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        check=True,
    )
    assert verify(tmp_path / "copy") == []


def test_nothing_is_left_beside_a_fetched_model(hub, published, bring, tmp_path):
    bring(target=tmp_path / "new" / "copy")
    assert os.listdir(tmp_path / "new") == ["copy"]
