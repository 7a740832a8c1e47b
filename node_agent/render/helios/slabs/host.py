"""The host's slabs: of exactly their size, and page-locked for a GPU.

Copies from page-locked memory run beside the arithmetic; ordinary memory is first copied by the
driver, while this thread waits. PyTorch's own page-locked memory is rounded up to a power of two, a
third more for the blocks of Helios, and never given back. So ordinary pages are registered with
the driver instead.
"""

from __future__ import annotations

import logging
import mmap
import weakref
from typing import Any

import torch
from torch import Tensor

from node_agent.models import ModelError

logger = logging.getLogger(__name__)

PORTABLE = 1
"""cudaHostRegisterPortable: page-locked for every context."""


class HostSlabs:
    """Memory of the host, until `close`."""

    def __init__(self, *, page_locked: bool) -> None:
        self._page_locked = page_locked
        self._locked: list[Tensor] = []
        """They are kept: the system must not get pages back that are registered."""
        self._total = 0
        # Also where nobody closes.
        self._release = weakref.finalize(self, _unlock, self._locked)

    def slab(self, size: int) -> Tensor:
        """A new slab (size,), uint8, that begins a page; zeros.

        It is part of the pages that the system gives. Raises `ModelError` when they cannot be had
        or page-locked.
        """
        try:
            pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        except OSError as error:
            raise ModelError(
                f"the system refused {size / 1e9:.2f} GB of host RAM for weights, after"
                f" {self._total / 1e9:.2f} GB ({error}); close what else uses it, or keep more on"
                " the card (--vram)"
            ) from error
        slab = torch.frombuffer(pages, dtype=torch.uint8)  # keeps the pages as long as it lives
        if self._page_locked:
            self._register(slab)
        self._total += size
        return slab

    def close(self) -> None:
        """Unlock all pages. No copy may be under way; slabs in use stay, as ordinary memory."""
        self._release()

    def _register(self, slab: Tensor) -> None:
        code = int(_runtime().cudaHostRegister(slab.data_ptr(), slab.nbytes, PORTABLE))
        if code:
            raise ModelError(
                f"the system refused to page-lock {slab.nbytes / 1e9:.2f} GB of host RAM for"
                f" weights, after {self._total / 1e9:.2f} GB (CUDA error {code}). See `ulimit -l`"
                " (LimitMEMLOCK of a service, --ulimit memlock of a container) and the memory limit"
                " of the container; or stream less (--profile fast), or from ordinary memory, which"
                " is slower (--pageable)"
            )
        self._locked.append(slab)


def _unlock(slabs: list[Tensor]) -> None:
    while slabs:
        slab = slabs.pop()
        code = int(_runtime().cudaHostUnregister(slab.data_ptr()))
        if code:
            logger.warning(
                "%.2f GB of host RAM stay locked: CUDA error %d", slab.nbytes / 1e9, code
            )


def _runtime() -> Any:
    """CUDA's functions that PyTorch gives."""
    return torch.cuda.cudart()  # type: ignore[no-untyped-call]
