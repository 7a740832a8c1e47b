"""The inventory: what a card says of itself beside what its operator says of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from node_agent import cli
from node_agent.inventory import missing, records
from node_agent.node_file import NodeFileError, Place, load_places
from node_agent.telemetry import SystemNvml
from tests.fixtures.simulated_nvml import SimulatedGpu, SimulatedLibrary

NVML = SystemNvml(
    SimulatedLibrary(SimulatedGpu(uuid="GPU-a", serial="0321"), SimulatedGpu(uuid="GPU-b"))
)


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "node.toml"
    path.write_text(text)
    return path


def test_a_card_is_found_by_its_uuid_or_its_index(tmp_path: Path) -> None:
    text = '[card."GPU-a"]\nrack = "r1"\ntags = ["quiet"]\n[card.1]\nshelf = "3"\ncircuit = "B"\n'
    listed = records("host", "580.1", NVML.cards(), load_places(written(tmp_path, text)))
    one, other = listed
    assert (one.uuid, one.rack, one.shelf, one.tags) == ("GPU-a", "r1", None, ("quiet",))
    assert (one.serial, one.driver, one.vbios) == ("0321", "580.1", "95.06.22.00.11")
    assert (one.pci_address, one.hostname) == ("00000000:01:00.0", "host")
    assert (other.uuid, other.shelf, other.circuit, other.serial) == ("GPU-b", "3", "B", None)


def test_a_card_that_is_gone_is_missed() -> None:
    places = {"GPU-a": Place(), "GPU-dead": Place(), "7": Place(), "1": Place()}
    assert missing(NVML.cards(), places) == ["7", "GPU-dead"]


def test_one_card_is_not_spoken_of_twice() -> None:
    with pytest.raises(NodeFileError, match=r'card\.0 and card\."GPU-a"'):
        records("host", None, NVML.cards(), {"GPU-a": Place(), "0": Place()})


def test_no_file_says_nothing(tmp_path: Path) -> None:
    assert not load_places(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[card.0]\nrak = 'r'", r'card\."0"\.rak: no such key; there are rack'),
        ("[card.0]\nshelf = 3", r'card\."0"\.shelf: 3 is no text'),
        ("[card.0]\ntags = 'quiet'", r'card\."0"\.tags: must be a list'),
        ("[card.first]\n", r'card\."first": neither an index nor a UUID'),
        ("[cards.0]\n", "cards: no such key"),
        ("card = 3", "card: must be a table"),
        ("card.0 = 3", r'card\."0": must be a table'),
        ("[card", "not TOML"),
    ],
)
def test_errors_name_file_and_key(tmp_path: Path, text: str, words: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(NodeFileError, match=words) as raised:
        load_places(path)
    assert str(raised.value).startswith(str(path))


class TestCommand:
    def test_json_for_programs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("node_agent.telemetry.find_nvml", lambda: NVML)
        path = written(tmp_path, '[card."GPU-b"]\nrack = "r9"\n[card."GPU-gone"]\n')
        done = CliRunner().invoke(cli.app, ["inventory", "--json", "--file", str(path)])
        told = json.loads(done.stdout)
        assert [card["rack"] for card in told["cards"]] == [None, "r9"]
        assert told["missing"] == ["GPU-gone"]

    def test_a_broken_file_is_said_without_a_traceback(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = written(tmp_path, "[card.0]\nrak = 'r'")
        monkeypatch.setattr("sys.argv", ["farm-node", "inventory", "--file", str(path)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        assert left.value.code == 1
        assert "rak: no such key" in capsys.readouterr().err
