"""A paper model: real configurations and weights, too small to render anything."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from node_agent.models import write_manifest

WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    """What is remembered of hashes stays with the test."""
    monkeypatch.setenv("HELIOSTAT_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.delenv("HELIOSTAT_MODEL_TOKEN", raising=False)
    return tmp_path / "models"


@pytest.fixture
def build(tmp_path):
    """Build an unpinned model of about `floats` times 4 bytes."""

    def directory(name="model", floats=250, seed=0):
        root = tmp_path / name
        files = {
            "model_index.json": {
                "_class_name": "HeliosPyramidPipeline",
                "is_distilled": True,
                "transformer": ["diffusers", "HeliosTransformer3DModel"],
                "scheduler": ["diffusers", "HeliosDMDScheduler"],
            },
            "transformer/config.json": {
                "num_layers": 40,
                "num_attention_heads": 40,
                "attention_head_dim": 128,
                "ffn_dim": 13824,
                "text_dim": 4096,
            },
            "scheduler/scheduler_config.json": {"stages": 3},
        }
        for path, content in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(json.dumps(content))
        weights = np.random.default_rng(seed).random(floats, dtype=np.float32)
        save_file({"weight": weights}, root / WEIGHTS)
        return root

    return directory


@pytest.fixture
def model(build):
    """A pinned model."""
    directory = build()
    write_manifest(directory, name="helios-paper", revision="abc123")
    return directory


@pytest.fixture
def lora(tmp_path):
    """An unpinned LoRA."""
    directory = tmp_path / "film-grain"
    directory.mkdir()
    save_file({"lora_A": np.ones((2, 8), np.float32)}, directory / "film-grain.safetensors")
    return directory
