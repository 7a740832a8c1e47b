"""helios-tiny is complete and always the same; a damaged model does not load."""

import os
import shutil
import subprocess
import sys

import pytest
from diffusers import DiffusionPipeline

from node_agent.models import ModelError, describe, load_manifest, verify
from node_agent.render.helios.renderer import HeliosRenderer
from node_agent.render.helios.tiny import build_tiny


@pytest.fixture
def copy(model_directory, tmp_path):
    return shutil.copytree(model_directory(), tmp_path / "model")


def test_the_same_build_gives_the_same_digest_in_every_process(model_directory, tmp_path):
    program = (
        "import sys; from pathlib import Path;"
        "from node_agent.render.helios.tiny import build_tiny;"
        "print(build_tiny(Path(sys.argv[1])).digest)"
    )
    child = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "again"],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert child.stdout.split() == [load_manifest(model_directory()).digest]


def test_another_seed_gives_another_model(model_directory, tmp_path):
    other = build_tiny(tmp_path / "other", seed=1)
    assert other.digest != load_manifest(model_directory()).digest


@pytest.mark.parametrize(
    ("variant", "steps", "guidance"),
    [("distilled", (2, 2, 2), 1.0), ("mid", (20, 20, 20), 5.0), ("base", (50,), 5.0)],
)
def test_a_tiny_model_is_intact_described_and_loaded_by_the_stock_class(
    model_directory, variant, steps, guidance
):
    directory = model_directory(variant)
    assert verify(directory) == []
    info = describe(directory)
    assert (info.variant, info.default_steps) == (variant, steps)
    assert info.default_guidance_scale == guidance
    assert (info.layers, info.heads, info.head_dim, info.max_tokens) == (2, 2, 12, 512)
    pipeline = DiffusionPipeline.from_pretrained(directory, local_files_only=True)
    assert pipeline.scheduler.config.gamma == 1 / 3


def test_a_directory_in_use_is_left_alone(tmp_path):
    (tmp_path / "film.mov").write_text("precious")
    with pytest.raises(ModelError, match="not empty"):
        build_tiny(tmp_path)
    assert (tmp_path / "film.mov").read_text() == "precious"


def test_an_unknown_variant_is_refused(tmp_path):
    with pytest.raises(ModelError, match="unknown variant 'turbo'"):
        build_tiny(tmp_path / "model", variant="turbo")


def test_one_flipped_bit_stops_the_model_from_loading(copy):
    weights = copy / "transformer" / "diffusion_pytorch_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ModelError, match=r"transformer/diffusion_pytorch_model\.safetensors"):
        HeliosRenderer(copy)


def test_an_extra_program_stops_the_model_from_loading(copy):
    (copy / "transformer" / "modeling.py").write_text("print('hello')")
    with pytest.raises(ModelError, match=r"transformer/modeling\.py"):
        HeliosRenderer(copy)
