"""A block is one slab: every tensor keeps its type and numbers, also one made of others."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils._python_dispatch import is_traceable_wrapper_subclass, return_and_correct_aliasing
from torch.utils._pytree import tree_map

from node_agent.render.helios.slabs.layout import ALIGNMENT, Layout, tensors_of
from node_agent.render.helios.slabs.sockets import Sockets


class Scaled(torch.Tensor):
    """An int8 matrix and a float32 scale of each row: what a quantised weight is made of."""

    @staticmethod
    def __new__(cls, numbers, scale):
        shape, device = numbers.shape, numbers.device
        return torch.Tensor._make_wrapper_subclass(cls, shape, dtype=torch.bfloat16, device=device)

    def __init__(self, numbers, scale):
        self.numbers, self.scale = numbers, scale

    def __tensor_flatten__(self):
        return ["numbers", "scale"], None

    @classmethod
    def __tensor_unflatten__(cls, parts, context, shape, stride):
        return cls(parts["numbers"], parts["scale"])

    @classmethod
    def __torch_dispatch__(cls, function, types, arguments=(), named=None):
        if function is torch.ops.aten.detach.default:
            own = arguments[0]
            return return_and_correct_aliasing(
                function, arguments, named or {}, cls(own.numbers, own.scale)
            )
        plain = tree_map(
            lambda each: each.whole() if isinstance(each, cls) else each, (arguments, named or {})
        )
        return function(*plain[0], **plain[1])

    def whole(self):
        return (self.numbers.float() * self.scale[:, None]).bfloat16()


def scaled(seed=0):
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.randint(-128, 127, (6, 8), dtype=torch.int8, generator=generator)
    return Scaled(numbers, torch.rand(6, generator=generator))


def written(tensors):
    layout = Layout.of(tensors)
    slab = torch.full((layout.size,), 0xA5, dtype=torch.uint8)
    layout.write(slab, tensors)
    return layout, slab


plain = st.builds(
    lambda shape, dtype, seed: torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(
        dtype
    ),
    st.lists(st.integers(0, 9), max_size=3),
    st.sampled_from([torch.float32, torch.bfloat16, torch.int8, torch.uint8]),
    st.integers(0, 99),
)


@given(st.lists(plain, min_size=1, max_size=6))
def test_tensors_are_equal_aligned_and_apart(tensors):
    named = {f"t{number}": tensor for number, tensor in enumerate(tensors)}
    layout, slab = written(named)
    assert layout == Layout.of({name: tensor.to("meta") for name, tensor in named.items()})
    ends = 0
    for name, view in layout.views(slab).items():
        assert view.dtype is named[name].dtype
        assert torch.equal(view, named[name])
        offset = view.data_ptr() - slab.data_ptr()
        if view.numel():
            assert offset % ALIGNMENT == 0
            assert offset >= ends
            ends = offset + view.nbytes
    assert ends <= layout.size <= sum(-(-t.nbytes // ALIGNMENT) for t in tensors) * ALIGNMENT


def test_a_transposed_matrix_stays_so():
    """Some kernels want their weights by columns."""
    columns = torch.randn(3, 5).t()
    layout, slab = written({"weight": columns})
    assert layout.views(slab)["weight"].stride() == columns.stride()
    assert torch.equal(layout.views(slab)["weight"], columns)


def test_a_quantised_tensor_is_taken_apart_and_put_together():
    block = nn.Linear(8, 6, bias=True, dtype=torch.bfloat16)
    block.weight = nn.Parameter(scaled(), requires_grad=False)
    rows = torch.randn(2, 8, dtype=torch.bfloat16)
    expected = block(rows)
    layout, slab = written(tensors_of(block))
    assert layout.size == 3 * ALIGNMENT
    sockets = Sockets(block, layout.places)
    elsewhere = slab.clone()
    slab.fill_(0)
    sockets.plug(sockets.fitted(layout.views(elsewhere)))
    assert is_traceable_wrapper_subclass(block.weight)
    begin, end = elsewhere.data_ptr(), elsewhere.data_ptr() + layout.size
    for part in (block.weight.numbers, block.weight.scale, block.bias):
        assert begin <= part.data_ptr() < end
    assert torch.equal(block(rows), expected)


def test_what_is_there_already_is_not_written_again():
    layout, slab = written({"a": torch.ones(4), "b": scaled()})
    views = layout.views(slab)
    layout.write(slab, views | {"a": torch.full((4,), 2.0)})
    assert torch.equal(views["a"], torch.full((4,), 2.0))
    assert torch.equal(views["b"].numbers, scaled().numbers)


@pytest.mark.parametrize("table", ["parameter", "buffer"])
def test_parameters_stay_parameters_and_buffers_buffers(table):
    module = nn.Module()
    module.inner = nn.Module()
    if table == "parameter":
        module.inner.register_parameter("x", nn.Parameter(torch.zeros(2)))
    else:
        module.inner.register_buffer("x", torch.zeros(2))
    sockets = Sockets(module, tensors_of(module))
    sockets.plug(sockets.fitted({"inner.x": torch.ones(2)}))
    assert isinstance(module.inner.x, nn.Parameter) is (table == "parameter")
    assert torch.equal(module.inner.x, torch.ones(2))
