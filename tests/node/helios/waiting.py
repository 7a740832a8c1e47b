"""What a renderer's step is on its way to."""

from __future__ import annotations

from collections.abc import Iterable

from node_agent.render.renderer import PendingChunk, RenderedChunk


def whole_chunks(pending: Iterable[PendingChunk | None]) -> list[RenderedChunk | None]:
    """The chunks of a round; None for lanes that were cancelled."""
    return [chunk and chunk.wait() for chunk in pending]
