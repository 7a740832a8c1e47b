"""A model and a LoRA to pin, damage, serve and fetch."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from node_agent.models import write_manifest
from tests.fixtures.paper_model import build_paper_model


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    """What is remembered of hashes stays with the test."""
    monkeypatch.setenv("HELIOSTAT_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.delenv("HELIOSTAT_MODEL_TOKEN", raising=False)
    return tmp_path / "models"


@pytest.fixture
def build(tmp_path):
    """Build an unpinned paper model."""

    def directory(name="model", **options):
        return build_paper_model(tmp_path / name, **options)

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
