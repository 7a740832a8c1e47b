"""Where a module's tensors are plugged in.

Found once and filled often: a block that visits the device is plugged onto the slot's views and
back, in every pass, and looking modules up by name takes longer than that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class _Socket:
    name: str
    own_name: str
    """Within its module."""
    table: dict[str, Any]
    """The module's own parameters, or buffers."""
    is_parameter: bool


class Sockets:
    """The places of some of a module's parameters and buffers."""

    def __init__(self, module: nn.Module, names: Iterable[str]) -> None:
        """`names` are as `layout.tensors_of` gives them."""
        self._sockets = [_socket(module, name) for name in names]

    def fitted(self, tensors: Mapping[str, Tensor]) -> list[Tensor]:
        """`tensors` by name, made ready to be plugged in."""
        return [
            nn.Parameter(tensors[socket.name], requires_grad=False)
            if socket.is_parameter
            else tensors[socket.name]
            for socket in self._sockets
        ]

    def plug(self, fitted: Sequence[Tensor]) -> None:
        """Have the module use these."""
        for socket, tensor in zip(self._sockets, fitted, strict=True):
            socket.table[socket.own_name] = tensor


def _socket(module: nn.Module, name: str) -> _Socket:
    path, _, own_name = name.rpartition(".")
    owner = module.get_submodule(path)
    is_parameter = own_name in owner._parameters
    table: dict[str, Any] = owner._parameters if is_parameter else owner._buffers
    return _Socket(name, own_name, table, is_parameter)
