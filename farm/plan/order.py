"""In which order the clips of a batch go out."""

from __future__ import annotations

from farm.domain.batch import Order


def place(order: Order, *, ordinal: int, clips: int, chunks_left: int) -> tuple[int, int]:
    """Where a clip stands among those of its batch; the smallest goes first.

    `ordinal` is its place in the file, from 1 to `clips`. Longest first lets a batch end
    together: what is handed out last is short, so no card works alone for long (Graham's LPT
    rule). A clip that goes on from a checkpoint counts by what is left of it. The first, the last
    and every N-th show early how the whole batch will look.
    """
    if order.every == 0:
        return (-chunks_left, ordinal)
    if order.every == 1:
        return (0, ordinal)
    if ordinal in (1, clips):
        return (0, ordinal)
    return (1 if (ordinal - 1) % order.every == 0 else 2, ordinal)
