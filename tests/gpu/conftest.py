"""What needs a GPU is skipped without one; what does not runs on a CPU as well.

    pytest tests/gpu

All models are tiny and built on the spot. The GPU should have nothing else to do meanwhile: its
memory is counted as the driver sees it.
"""

import gc

import pytest
import torch

from node_agent.render.helios.model import HeliosModel
from node_agent.render.helios.prompts import PromptEncoder
from node_agent.render.helios.renderer import SoloClip
from tests.node.helios import conftest as helios
from tests.node.helios.stock import STOCK_GAMMA

footage = helios.footage
model_directory = helios.model_directory
one_thread = helios.one_thread
picture = helios.picture
render = helios.render
spec = helios.spec
assert_equal_chunks = helios.assert_equal_chunks

STEPS = {"distilled": (1, 1, 1), "mid": (2, 1, 1), "base": (2,)}


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """The one place where GPU tests are skipped."""
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip(f"torch {torch.__version__} sees no CUDA device")


@pytest.fixture(params=["cpu", pytest.param("cuda:0", marks=pytest.mark.gpu)])
def device(request):
    """Each place where a test makes sense."""
    return torch.device(request.param)


@pytest.fixture
def card():
    """The GPU, with nothing of an earlier test in its memory."""
    gc.collect()
    torch.cuda.empty_cache()
    return torch.device("cuda:0")


@pytest.fixture(params=list(STEPS))
def variant(request):
    return request.param


@pytest.fixture
def quick(spec):
    """The spec of a variant's shortest clip with a history: two chunks."""

    def build(variant="distilled", **different):
        fields = {"frames": 66, "steps": STEPS[variant], "amplify_first_chunk": False}
        return spec(**(fields | different))

    return build


@pytest.fixture
def model_on(model_directory):
    """A variant's model on a device; gamma is one that the stock pipelines can factor."""

    def load(device, variant="distilled", **options):
        return HeliosModel(model_directory(variant, STOCK_GAMMA), device, **options)

    return load


@pytest.fixture
def start():
    """A clip of a model."""
    return lambda model, spec: SoloClip(model, PromptEncoder(model), spec, None)


@pytest.fixture
def rendered(start, render):
    """All chunks of a clip."""
    return lambda model, spec: render(start(model, spec), spec.chunks)
