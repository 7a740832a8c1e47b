"""Power limits: shown, set on every card or on none, and who may do it."""

from __future__ import annotations

import json

import pynvml
import pytest
from typer.testing import CliRunner

from node_agent.cli import app
from node_agent.telemetry.power_limit import PowerLimitError, read_limits, set_limits
from tests.fixtures.simulated_nvml import SimulatedGpu, SimulatedLibrary

CALLS = (
    "Init",
    "DeviceGetCount",
    "DeviceGetHandleByIndex",
    "DeviceGetName",
    "DeviceGetUUID",
    "DeviceGetPowerManagementLimit",
    "DeviceGetPowerManagementLimitConstraints",
    "DeviceGetPowerManagementDefaultLimit",
    "DeviceSetPowerManagementLimit",
)


def test_every_cards_limit_is_set_and_set_back():
    cards = [SimulatedGpu(uuid="GPU-a"), SimulatedGpu(uuid="GPU-b")]
    library = SimulatedLibrary(*cards)
    assert [limit.now for limit in set_limits(120, library)] == [120, 120]
    assert [card.limit_milliwatts for card in cards] == [120_000, 120_000]
    assert [limit.now for limit in set_limits(None, library)] == [165, 165]


def test_no_card_is_changed_where_one_cannot_have_it():
    small = SimulatedGpu(name="NVIDIA GeForce RTX 4060", limits_milliwatts=(70_000, 115_000))
    big = SimulatedGpu()
    with pytest.raises(PowerLimitError, match=r"card 1 .* takes 70 to 115 W, not 150"):
        set_limits(150, SimulatedLibrary(big, small))
    assert big.limit_milliwatts == 165_000


def test_who_lacks_rights_is_told_how_to_get_them():
    card = SimulatedGpu(limit_refused=pynvml.NVML_ERROR_NO_PERMISSION)
    with pytest.raises(PowerLimitError, match=r"sudo.*farm-node install HEAD --power-limit"):
        set_limits(120, SimulatedLibrary(card))


def test_cards_without_a_limit_are_left_out():
    library = SimulatedLibrary(SimulatedGpu(limits_milliwatts=None), SimulatedGpu())
    assert [limit.index for limit in read_limits(library)] == [1]
    with pytest.raises(PowerLimitError, match="no card here"):
        set_limits(120, SimulatedLibrary(SimulatedGpu(limits_milliwatts=None)))


def test_the_command_shows_and_sets(monkeypatch: pytest.MonkeyPatch):
    library = SimulatedLibrary(SimulatedGpu())
    for name in CALLS:
        monkeypatch.setattr(pynvml, f"nvml{name}", getattr(library, f"nvml{name}"))
    call = CliRunner().invoke
    assert "165" in call(app, ["power-limit"]).stdout
    told = json.loads(call(app, ["power-limit", "--watts", "120", "--json"]).stdout)
    assert told[0]["now"] == 120
    wrong = call(app, ["power-limit", "--watts", "999"])
    assert (wrong.exit_code, "takes 100 to 165 W" in wrong.stderr) == (1, True)
    assert json.loads(call(app, ["power-limit", "--reset", "--json"]).stdout)[0]["now"] == 165
    assert call(app, ["power-limit", "--watts", "120", "--reset"]).exit_code == 2


def test_without_a_driver_it_says_who_knows_more():
    library = SimulatedLibrary(error=pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)
    with pytest.raises(PowerLimitError, match="farm-node doctor"):
        read_limits(library)
