"""What the farm did for a clip: tries, times, cards and energy, as its chunks and events tell."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipWork:
    """Sums over one clip; chunks that it took over from another one are that one's."""

    clip_id: str
    created_at: float
    """Unix seconds, here as below."""
    ended_at: float | None
    model_digest: str
    stack_id: str
    chunks: int = 0
    render_seconds: float = 0.0
    encode_seconds: float = 0.0
    joules: float = 0.0
    """Of the chunks whose energy was measured."""
    chunks_measured: int = 0
    first_chunk_at: float | None = None
    last_chunk_at: float | None = None
    cards: tuple[str, ...] = ()
    """That rendered its chunks, by id."""
    leases: int = 0
    lost: int = 0
    failed: int = 0
    yielded: int = 0
    first_leased_at: float | None = None
    """None, here as of the counts, also where retention has let its events go."""
