"""`farm-node burn-in` renders a real (small) Helios on the CPU, and sees one byte that is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.numpy import save_file
from typer.testing import CliRunner

from node_agent.cli import app, main
from node_agent.render.helios.tiny import build_tiny


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    build_tiny(tmp_path / "model")
    files = {"model": "model", "record": "card.json", "reference": "golden", "models-dir": "."}
    paths = [word for flag, name in files.items() for word in (f"--{flag}", str(tmp_path / name))]
    return ["burn-in", *paths, "--device", "cpu", "--size", "64x64", "--hours", "0.001"]


def test_a_card_passes_until_it_renders_something_else(tmp_path: Path, options: list[str]) -> None:
    made = CliRunner().invoke(app, [*options, "--make-reference"])
    assert made.exit_code == 0, made.output
    assert not (tmp_path / "card.json").exists()

    done = CliRunner().invoke(app, options)
    assert done.exit_code == 0, done.output
    record = json.loads((tmp_path / "card.json").read_text())
    assert record["passed"] is True
    assert record["card"] == "cpu"
    assert record["tally"]["chunks"] >= 1

    with safe_open(tmp_path / "golden", framework="numpy") as file:
        frames, metadata = file.get_tensor("frames").copy(), file.metadata()
    frames[20, 5, 5, 1] ^= 1
    save_file({"frames": frames}, tmp_path / "golden", metadata=metadata)
    broken = CliRunner().invoke(app, options)
    assert broken.exit_code == 1, broken.output
    assert json.loads((tmp_path / "card.json").read_text())["passed"] is False


def test_a_limit_that_does_not_exist_is_refused(options: list[str]) -> None:
    refused = CliRunner().invoke(app, [*options, "--limit", "temprature=80"])
    assert refused.exit_code == 2
    assert "temperature_celsius_max" in refused.output


def test_what_cannot_be_rendered_is_refused_without_a_traceback(
    options: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    odd_size = CliRunner().invoke(app, [*options, "--size", "100x64"])
    assert odd_size.exit_code == 2
    assert "multiples of 64" in odd_size.output
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr("sys.argv", ["farm-node", *options, "--device", "cuda:0"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 1
    assert "farm-node doctor" in capsys.readouterr().err
