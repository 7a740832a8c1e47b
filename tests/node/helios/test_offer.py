"""What a device cannot do is said before anything is loaded; what it can, it offers."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from node_agent.models import ModelError
from node_agent.render.bench.memory import MemoryWatch
from node_agent.render.helios import device as device_module
from node_agent.render.helios.device import check_profile, device_named
from node_agent.render.helios.model import HeliosModel
from node_agent.render.helios.offer import Offer
from node_agent.render.helios.placement import Room
from node_agent.render.helios.random_weights import RandomWeights
from node_agent.render.helios.slabs.host import HostSlabs
from node_agent.render.profiles import EXACT, FAST, FAST_FP8, PROFILES
from node_agent.telemetry import NvmlUnavailable
from tests.node.helios.small import SMALL, SMALL_VAE

CPU, CARD = torch.device("cpu"), torch.device("cuda:0")
GB = 10**9
REAL = RandomWeights()


@pytest.fixture
def card(monkeypatch):
    """A GPU in CUDA's words: of a compute capability, or behind a driver that is too old."""

    def show(capability=(8, 9), name="NVIDIA GeForce RTX 4060 Ti", count=1):
        cuda = {
            "is_available": lambda: count > 0,
            "device_count": lambda: count,
            "get_device_capability": lambda _=None: capability,
            "get_device_name": lambda _=None: name,
        }
        monkeypatch.setattr(torch.version, "cuda", "13.0")
        for function, answer in cuda.items():
            monkeypatch.setattr(torch.cuda, function, answer)

    return show


@pytest.fixture
def driver(monkeypatch):
    def show(version=None, cuda=None, error=None):
        class Driver:
            def __init__(self):
                if error is not None:
                    raise error

            def driver_version(self):
                return version

            def cuda_version(self):
                return cuda

        monkeypatch.setattr(device_module, "SystemNvml", Driver)

    return show


def offer(vram, ram, parts=REAL, **different):
    room = Room(vram=int(vram * GB), ram=int(ram * GB))
    fields = {
        "parts": parts,
        "device": CARD,
        "dtype": torch.bfloat16,
        "room": lambda: room,
        "capped": False,
        "streamed": False,
    }
    return Offer(**{**fields, **different})


def stored_for(profile):
    parts = RandomWeights()
    parts.info = replace(parts.info, profile=profile)
    return parts


def test_a_card_without_bfloat16_is_told_which_cards_have_it(card):
    card((7, 5), "NVIDIA GeForce RTX 2080")
    with pytest.raises(ModelError) as refusal:
        device_named("cuda:0")
    for words in ("RTX 2080 (cuda:0)", "7.5", "bfloat16 needs 8.0", "RTX 30, 40 and 50, A100"):
        assert words in str(refusal.value)


def test_a_card_without_fp8_is_told_what_else_there_is(card):
    card((8, 6), "NVIDIA GeForce RTX 3060")
    assert device_named("cuda:0") == CARD
    check_profile(CARD, FAST)
    with pytest.raises(ModelError) as refusal:
        check_profile(CARD, FAST_FP8)
    for words in ("8.6", "profile fast-fp8 needs 8.9", "RTX 40", "use the profile fast or exact"):
        assert words in str(refusal.value)
    with pytest.raises(ModelError, match="fast-fp8 needs a GPU"):
        HeliosModel(RandomWeights(SMALL, SMALL_VAE), CPU, profile=FAST_FP8)


def test_a_driver_too_old_is_told_what_is_needed(card, driver):
    card(count=0)
    driver("470.256.02", (11, 4))
    with pytest.raises(ModelError) as refusal:
        device_named("cuda:0")
    for words in ("driver is 470.256.02", "CUDA 11.4 at most", "CUDA 13.0", "install the newest"):
        assert words in str(refusal.value)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (NvmlUnavailable("Library Not Found", installed=False), "there is no driver"),
        (NvmlUnavailable("Version Mismatch", installed=True), "does not work \\(Version Mismatch"),
    ],
)
def test_a_driver_that_is_not_there_is_told_from_a_broken_one(card, driver, error, words):
    card(count=0)
    driver(error=error)
    with pytest.raises(ModelError, match=words):
        device_named("cuda:0")


def test_a_torch_for_cpus_is_told_from_a_missing_card(card, monkeypatch):
    card(count=2)
    with pytest.raises(ModelError, match=r"cuda:5: torch .* sees 2 CUDA device"):
        device_named("cuda:5")
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(ModelError, match=r"built for CPUs; install .*cuda\.lock"):
        device_named("cuda:0")
    assert device_named("cpu") == CPU


@pytest.mark.parametrize(
    ("vram", "ram", "capability", "expected"),
    [
        (24, 64, (8, 9), ("exact", "fast", "fast-fp8")),
        (24, 64, (8, 6), ("exact", "fast")),
        (8, 26, (8, 9), ("fast", "fast-fp8")),  # the machines that this farm is for
        (8, 26, (8, 6), ("fast",)),
        (16, 24, (8, 0), ("exact", "fast")),
        (80, 8, (9, 0), ("exact", "fast", "fast-fp8")),
    ],
)
def test_a_card_offers_what_fits_the_best_first(card, vram, ram, capability, expected):
    card(capability)
    assert offer(vram, ram).profiles() == expected


def test_what_fits_nowhere_is_refused_with_the_numbers_and_nothing_is_made(card):
    card()
    with MemoryWatch(CPU) as memory:
        began = memory.bytes_rss_peak
        with pytest.raises(ModelError) as refusal:
            offer(4, 16).profiles()
    for words in ("profile fast", "17.3 GB", "40 of 40 blocks", "4.0 GB are there"):
        assert words in str(refusal.value)
    assert memory.bytes_rss_peak - began < GB


def test_a_pin_that_does_not_fit_hears_what_would(card):
    card()
    with pytest.raises(ModelError) as refusal:
        offer(8, 26).profiles(EXACT)
    for words in ("profile exact", "28.7 GB", "host RAM", "the profile fast fits (--profile fast)"):
        assert words in str(refusal.value)
    with pytest.raises(ModelError) as refusal:
        offer(4, 16).profiles(EXACT)
    assert "fits (" not in str(refusal.value)
    assert offer(24, 64).profiles(FAST) == ("fast",)


def test_weights_that_are_stored_for_a_profile_offer_that_one(card):
    card()
    parts = stored_for("fast")
    assert offer(80, 64, parts).profiles() == ("fast",)
    assert offer(80, 64, parts, device=CPU).profiles() == ("fast",)
    for profile in (EXACT, FAST_FP8):
        with pytest.raises(ModelError, match=f"stored for the profile fast .* {profile.name}"):
            offer(80, 64, parts).profiles(profile)
    card((8, 6))
    with pytest.raises(ModelError, match=r"fast-fp8 needs 8\.9"):
        offer(80, 64, stored_for("fast-fp8")).profiles()


def test_a_cpu_offers_what_it_stands_in_for_unless_it_is_told():
    small = RandomWeights(SMALL, SMALL_VAE)
    assert HeliosModel(small, CPU).profiles == ("exact",)
    assert HeliosModel(small, CPU, profile=FAST).profiles == ("fast",)


def test_refused_page_locks_say_what_else_to_do(monkeypatch):
    class Runtime:
        @staticmethod
        def cudaHostRegister(*_):  # noqa: N802 - CUDA's name
            return 2

    monkeypatch.setattr(torch.cuda, "cudart", Runtime)
    with pytest.raises(ModelError, match=r"page-lock .*ulimit -l.*--profile fast.*--pageable"):
        HostSlabs(page_locked=True).slab(4096)


def test_every_profile_is_named_in_the_documents():
    page = (Path(__file__).parents[3] / "docs" / "profiles.md").read_text()
    for name in PROFILES:
        assert f"`{name}`" in page
