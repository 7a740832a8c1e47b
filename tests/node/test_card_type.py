"""A card's type is the word that people write for it, whatever its maker adds to the name."""

from __future__ import annotations

import pytest

from node_agent.telemetry import card_type


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("NVIDIA GeForce RTX 4060 Ti", "rtx-4060-ti"),
        ("NVIDIA GeForce RTX 3060", "rtx-3060"),
        ("NVIDIA GeForce RTX 4070 SUPER", "rtx-4070-super"),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", "rtx-4090-laptop"),
        ("NVIDIA GeForce RTX 2080 with Max-Q Design", "rtx-2080-with-max-q-design"),
        ("GeForce GTX 1080 Ti", "gtx-1080-ti"),
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA H100 PCIe", "h100-pcie"),
        ("NVIDIA H200", "h200"),
        ("NVIDIA GH200 480GB", "gh200"),
        ("NVIDIA A100-SXM4-80GB", "a100"),
        ("NVIDIA A100-PCIE-40GB", "a100-pcie"),
        ("Tesla V100-SXM2-16GB", "v100"),
        ("Tesla T4", "t4"),
        ("NVIDIA L40S", "l40s"),
        ("NVIDIA RTX A6000", "rtx-a6000"),
        ("NVIDIA RTX 6000 Ada Generation", "rtx-6000-ada"),
        ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", "rtx-pro-6000-blackwell"),
        ("NVIDIA A100-SXM4-80GB MIG 1g.10gb", "a100-mig-1g.10gb"),
        ("NVIDIA Graphics Device", "graphics-device"),
        ("NVIDIA", "nvidia"),
        ("", "cpu"),
        (None, "cpu"),
    ],
)
def test_names_that_nvml_gives(name: str | None, expected: str) -> None:
    assert card_type(name) == expected
