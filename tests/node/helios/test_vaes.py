"""What decodes a clip: the choice by quality and memory, tiles, and the tiny VAE of previews."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from node_agent.models import ModelError, describe, write_manifest
from node_agent.render.helios.decode import decode
from node_agent.render.helios.model import HeliosModel
from node_agent.render.helios.placement import TILED_BELOW_BYTES, Caps
from node_agent.render.helios.random_weights import RandomWeights
from node_agent.render.helios.recipe import VAES, recipe_for
from node_agent.render.helios.renderer import HeliosRenderer
from node_agent.render.helios.tiny_vae import TinyVae, load_tiny_vae
from node_agent.render.helios.vaes import TILE, TILE_STRIDE
from node_agent.render.renderer import PromptError
from tests.node.helios.small import SMALL, SMALL_VAE

TILES_DB_MIN = 35
"""Between a picture that was decoded in tiles, and whole; of random weights."""


@pytest.fixture(scope="module")
def model():
    return HeliosModel(RandomWeights(SMALL, vae=SMALL_VAE), torch.device("cpu"))


@pytest.fixture
def info(model_directory):
    return describe(model_directory())


_FIRST = "decoder.1.weight"


def latents(side, generator_seed=0):
    generator = torch.Generator().manual_seed(generator_seed)
    return torch.randn(1, 16, 9, side, side, generator=generator)


@pytest.mark.parametrize(
    ("quality", "on_gpu", "tight", "tiny", "vae"),
    [
        ("exact", True, False, True, "float32"),
        ("exact", True, True, False, "float32"),
        ("standard", True, False, True, "bfloat16"),
        ("standard", True, True, True, "bfloat16-tiled"),
        ("draft", True, True, False, "bfloat16-tiled"),
        ("draft", True, True, True, "tiny"),
        ("standard", False, False, True, "float32"),
        ("draft", False, False, True, "tiny"),
    ],
)
def test_quality_memory_and_model_choose(spec, info, quality, on_gpu, tight, tiny, vae):
    info = dataclasses.replace(info, tiny_vae=tiny)
    found = recipe_for(spec(quality=quality), info, on_gpu=on_gpu, tight=tight)
    assert found.vae == vae


@pytest.mark.parametrize("vae", VAES)
def test_a_pin_goes_before_the_choice(spec, info, vae):
    info = dataclasses.replace(info, tiny_vae=True)
    for on_gpu in (False, True):
        assert recipe_for(spec(vae=vae), info, on_gpu=on_gpu, tight=True).vae == vae


@pytest.mark.parametrize(("vae", "words"), [("float8", "choose one of"), ("tiny", "has none")])
def test_what_cannot_be_pinned_is_refused(spec, info, vae, words):
    with pytest.raises(PromptError, match=words):
        recipe_for(spec(vae=vae), info)


@pytest.mark.parametrize(
    ("total", "cap", "tight"),
    [(8, None, True), (12, None, False), (24, 8, True), (24, 12, False), (8, 12, True)],
)
def test_a_card_or_cap_of_8_gb_decodes_in_tiles(monkeypatch, total, cap, tight):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (0, total * 10**9))
    caps = Caps(cap and cap * 10**9)
    assert 8 * 10**9 < TILED_BELOW_BYTES < 12 * 10**9
    assert caps.tight(torch.device("cuda:0")) is tight
    assert caps.tight(torch.device("cpu")) is False


@pytest.fixture
def small_tiles(monkeypatch):
    """A quarter of the side, so that a small picture has some."""
    monkeypatch.setattr("node_agent.render.helios.vaes.TILE", TILE // 4)
    monkeypatch.setattr("node_agent.render.helios.vaes.TILE_STRIDE", TILE_STRIDE // 4)


@pytest.mark.usefixtures("small_tiles")
def test_tiles_are_close_to_the_whole_and_share_its_weights(model, record_property):
    """80x80 is four tiles of 64x64, of which 16 pixels are blended."""
    given = latents(80 // 8)[:, :, :3]
    whole, tiled = (decode(model, given, vae) for vae in ("bfloat16", "bfloat16-tiled"))
    assert whole.shape == tiled.shape == (9, 80, 80, 3)
    assert not np.array_equal(whole, tiled), "they were no tiles"
    error = np.mean((whole.astype(float) - tiled.astype(float)) ** 2)
    found = float(10 * np.log10(255**2 / error))
    record_property("psnr_db", found)
    assert found > TILES_DB_MIN
    pairs = zip(
        model.decoder("bfloat16").parameters(),
        model.decoder("bfloat16-tiled").parameters(),
        strict=True,
    )
    assert all(one is other for one, other in pairs)
    assert np.array_equal(decode(model, given, "bfloat16"), whole), "it is no tiles itself"


@pytest.mark.usefixtures("small_tiles")
def test_a_picture_of_one_tile_is_decoded_whole(model):
    given = latents(64 // 8)[:, :, :2]
    assert np.array_equal(*(decode(model, given, vae) for vae in ("bfloat16", "bfloat16-tiled")))


class TestTiny:
    """With random weights in the layout of the published file, but narrow."""

    @pytest.fixture
    def folder(self, tmp_path):
        torch.manual_seed(1)
        weights = TinyVae(16, (8, 8, 4, 4)).state_dict()
        encoder = {"encoder.0.weight": torch.zeros(3)}
        save_file(weights | encoder, tmp_path / "taew2_1.safetensors")
        return tmp_path

    def test_nine_latent_frames_give_a_chunk(self, folder):
        video = load_tiny_vae(folder).decode(latents(4))
        assert video.shape == (1, 3, 33, 32, 32)
        assert video.min() >= -1
        assert video.max() <= 1

    def test_chunks_are_decoded_alone(self, folder):
        vae = load_tiny_vae(folder)
        first = vae.decode(latents(4))
        vae.decode(latents(4, 1))
        assert torch.equal(vae.decode(latents(4)), first)

    def test_a_frame_depends_on_those_before_it_alone(self, folder):
        vae, one = load_tiny_vae(folder), latents(4)
        other = one.clone()
        other[:, :, 5] += 1
        same = (vae.decode(one) == vae.decode(other)).all(dim=(0, 1, 3, 4))
        # Latent frame k ends with video frame 4k, as the VAE's own do.
        assert same.tolist() == [True] * 17 + [False] * (33 - 17)

    @pytest.mark.parametrize(
        ("break_it", "words"),
        [
            (lambda path: path.unlink(), "0 safetensors files"),
            (lambda path: path.write_bytes(b"no tensors"), "not a safetensors file"),
            (
                lambda path: save_file({"decoder.1.weight": torch.ones(8, 16, 3, 3)}, path),
                "not laid",
            ),
            (lambda path: save_file({"other": torch.ones(1)}, path), "not laid out"),
        ],
    )
    def test_another_file_is_refused_with_what_to_do(self, folder, break_it, words):
        break_it(folder / "taew2_1.safetensors")
        with pytest.raises(ModelError, match=words):
            load_tiny_vae(folder)

    def test_a_model_that_has_one_previews_with_it(self, folder, model_directory, spec, tmp_path):
        directory = tmp_path / "model"
        shutil.copytree(model_directory(), directory)
        (directory / "tiny_vae").mkdir()
        shutil.copy(folder / "taew2_1.safetensors", directory / "tiny_vae")
        write_manifest(directory, name="with-tiny", revision="1")
        renderer = HeliosRenderer(directory)
        draft = renderer.start(spec(quality="draft")).step(lambda: False)
        whole = renderer.start(spec(quality="draft", vae="float32")).step(lambda: False)
        assert (draft.vae, whole.vae) == ("tiny", "float32")
        assert np.array_equal(draft.negative.latents, whole.negative.latents)
        assert not np.array_equal(draft.frames, whole.frames)
        again = renderer.decode(draft.negative, spec(quality="draft"))
        assert np.array_equal(again, draft.frames)
