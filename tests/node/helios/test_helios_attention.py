"""Which attention serves: the best that a card has, and `native` wherever that is not to be had."""

import logging

import pytest
import torch
from diffusers.models.attention_dispatch import AttentionBackendName

from node_agent.render.helios import attention
from node_agent.render.helios.attention import attend, best_attention, candidates, first_that_works

CPU = torch.device("cpu")
OLD, SOUND = 91300, 91501


@pytest.mark.parametrize(
    ("capability", "cudnn", "exact"),
    [
        ((7, 5), SOUND, []),
        ((8, 0), SOUND, []),
        ((8, 6), SOUND, ["_native_cudnn"]),
        ((8, 9), SOUND, ["_native_cudnn"]),
        ((8, 9), OLD, []),
        ((8, 9), 0, []),
        ((9, 0), SOUND, []),
        ((9, 0), OLD, ["_flash_3"]),
        ((10, 0), SOUND, []),
        ((12, 0), SOUND, []),
    ],
)
def test_the_best_of_a_card(capability, cudnn, exact):
    """What loses goes before it, where loss is allowed and the card is young enough."""
    sage = ["sage"] if capability >= (8, 0) else []
    half = torch.bfloat16
    assert candidates(capability, half, cudnn, lossy=False) == (*exact, "native")
    assert candidates(capability, half, cudnn, lossy=True) == (*sage, *exact, "native")


@pytest.mark.parametrize("lossy", [False, True])
def test_float32_is_for_native_alone(lossy):
    assert candidates((8, 9), torch.float32, SOUND, lossy=lossy) == ("native",)
    assert best_attention(CPU, torch.bfloat16, lossy=lossy) == "native"


@pytest.fixture
def untried():
    attention._fault.cache_clear()
    yield
    attention._fault.cache_clear()


@pytest.mark.parametrize(
    ("name", "reason"),
    [("sage", "sageattention"), ("_flash_3", "FA3"), ("thought", "'thought' is not a valid")],
)
def test_what_is_missing_is_named_and_passed_by(untried, caplog, name, reason):
    caplog.set_level(logging.INFO, attention.__name__)
    assert first_that_works((name, "_native_math", "native"), CPU, torch.float32) == "_native_math"
    [record] = caplog.records
    assert f"attention by {name} is not to be had" in record.getMessage()
    assert reason in record.getMessage()


def test_what_attends_otherwise_is_passed_by(untried, caplog, monkeypatch):
    """As where a kernel was built for other cards than this one."""
    caplog.set_level(logging.INFO, attention.__name__)
    monkeypatch.setattr(attention, "_opaque", lambda queries, *_: torch.zeros_like(queries))
    assert first_that_works(("_native_math", "native"), CPU, torch.float32) == "native"
    assert "its results are 100% off" in caplog.text


def test_a_kernel_that_is_opaque_to_the_compiler_does_not_break_its_graph():
    rows = [torch.randn(2, 7, 3, 16, generator=torch.Generator().manual_seed(n)) for n in range(3)]
    graphs = []

    def counted(graph, _inputs):
        graphs.append(graph)
        return graph.forward

    def around(queries, keys, values):
        return attend(queries * 2, keys, values, AttentionBackendName._NATIVE_MATH) + 1

    torch._dynamo.reset()
    with torch.inference_mode():
        seen = torch.compile(around, fullgraph=True, backend=counted)(*rows)
        expected = attend(rows[0] * 2, *rows[1:], None) + 1
    assert len(graphs) == 1
    assert seen.stride() == expected.contiguous().stride()
    torch.testing.assert_close(seen, expected)
    torch.library.opcheck(attention._opaque, (*rows, "_native_math"))
    torch._dynamo.reset()
