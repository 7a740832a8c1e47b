"""A card's senses: what NVML tells of it. Nothing here needs torch; absent is absent, never 0."""

from node_agent.telemetry.card_type import card_type
from node_agent.telemetry.meter import EnergyMeter
from node_agent.telemetry.nvml import Nvml, NvmlUnavailable, SystemNvml, find_nvml
from node_agent.telemetry.sample import Identity, Sample
from node_agent.telemetry.visible import nvml_index
from node_agent.telemetry.watch import CardSenses, CardWatch

__all__ = [
    "CardSenses",
    "CardWatch",
    "EnergyMeter",
    "Identity",
    "Nvml",
    "NvmlUnavailable",
    "Sample",
    "SystemNvml",
    "card_type",
    "find_nvml",
    "nvml_index",
]
