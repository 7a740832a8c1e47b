"""What the agent asked for, and how far the child may go: commands in, one thing to do next out.

The reader thread puts commands in; the render thread takes the next clip, and asks before each
chunk whether it may begin. It may while fewer than `unrecorded_max` chunks, of all clips and for
each lane, are begun and not yet recorded at the farm. With two, chunk k+2 waits for chunk k: a kill
loses the chunk in render and the one in flight, and no more.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from node_agent.render.messages import (
    Cancel,
    Cancelled,
    Change,
    Command,
    ProtocolError,
    Recorded,
    Report,
    Start,
    Steer,
    Stop,
    Yield,
    Yielded,
)
from node_agent.render.renderer import RenderSpec

WAITING_MAX = 256
"""Clips that may wait in a child; the agent prefetches far fewer."""

Key = tuple[str, int]
"""A clip's id and the attempt."""


@dataclass(slots=True, eq=False)
class Rendering:
    """An attempt in this child, from its start to its end. Flags go from False to True only."""

    start: Start
    dropped: bool = False
    """Cancelled by the agent, or the child was told to stop."""
    yielding: bool = False
    broken: bool = False
    """A chunk could not be written; its failure has been reported."""
    reported: int = 0
    """Chunks reported so far."""
    model_digest: str = ""
    """What its negatives are bound to; set when it begins."""
    changes: list[Change] = field(default_factory=list)
    """Changes of prompt that no chunk has followed yet."""

    @property
    def key(self) -> Key:
        """Clip id and attempt."""
        return self.start.spec.clip_id, self.start.attempt

    @property
    def ids(self) -> dict[str, str | int]:
        """The same, as fields of what is logged about it."""
        return {"clip_id": self.start.spec.clip_id, "attempt": self.start.attempt}

    @property
    def chunks(self) -> int:
        """Chunks that this attempt has to report: those it decodes again, and those it renders."""
        start = self.start
        return len(start.redecode) + start.spec.chunks - start.resume_chunk

    @property
    def abandoned(self) -> bool:
        """True when nothing that is rendered for it now will be used."""
        return self.dropped or self.broken


class Desk:
    """Thread-safe. `report` is called for attempts that end before they began."""

    def __init__(
        self, report: Callable[[Report], None], unrecorded_max: int, lanes: int = 1
    ) -> None:
        if unrecorded_max < 1 or lanes < 1:
            raise ValueError(f"{unrecorded_max} chunks ahead in {lanes} lanes: at least 1 of each")
        self._report = report
        self._unrecorded_max = unrecorded_max * lanes
        self._changed = threading.Condition()
        self._waiting: deque[Rendering] = deque()
        self._held: dict[Key, Rendering] = {}
        self._unrecorded: set[tuple[Key, int]] = set()
        self._stopping = False
        self.fit = True
        """The accelerator can be used in this process."""

    def put(self, command: Command) -> None:
        """Take in a command. Raises ProtocolError when more waits than any agent should ask for."""
        with self._changed:
            match command:
                case Start():
                    self._enqueue(command)
                case Recorded():
                    key = command.clip_id, command.attempt
                    self._unrecorded.discard((key, command.chunk))
                case Cancel():
                    self._cancel((command.clip_id, command.attempt))
                case Yield():
                    self._yield((command.clip_id, command.attempt))
                case Steer():
                    self._steer(command)
                case Stop():
                    self._stop()
            self._changed.notify_all()

    @property
    def stopping(self) -> bool:
        """The child was told to stop."""
        return self._stopping

    def next(self) -> Rendering | None:
        """Wait for the next thing to do; None when the child is to stop, or cannot go on."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopping or not self.fit)
            return None if self._stopping or not self.fit else self._waiting.popleft()

    def next_waiting(self) -> Rendering | None:
        """The next thing to do, if one waits."""
        with self._changed:
            return self._waiting.popleft() if self._waiting and not self._stopping else None

    def waiting_specs(self) -> list[RenderSpec]:
        """What the clips that wait ask for."""
        with self._changed:
            return [rendering.start.spec for rendering in self._waiting]

    def begin_chunks(self, chunks: Mapping[Rendering, int]) -> list[Rendering]:
        """Wait until these chunks may begin, one of each attempt; those that do not end instead."""

        def going_on() -> list[Rendering]:
            return [each for each in chunks if self.fit and not (each.abandoned or each.yielding)]

        def is_time() -> bool:
            wanted = going_on()
            return len(wanted) + len(self._unrecorded) <= max(self._unrecorded_max, len(wanted))

        with self._changed:
            self._changed.wait_for(is_time)
            begun = going_on()
            self._unrecorded.update((each.key, chunks[each]) for each in begun)
            return begun

    def take_changes(self, rendering: Rendering, chunk: int) -> list[Change]:
        """The changes of prompt that are due at a chunk, once; the last of them counts."""
        with self._changed:
            due = [change for change in rendering.changes if change.chunk <= chunk]
            rendering.changes = [change for change in rendering.changes if change.chunk > chunk]
            return sorted(due, key=lambda change: change.number)

    def lost_chunk(self, rendering: Rendering, chunk: int) -> None:
        """A chunk that was begun will never be reported: it counts no more."""
        with self._changed:
            self._unrecorded.discard((rendering.key, chunk))
            self._changed.notify_all()

    def fail(self, rendering: Rendering) -> bool:
        """Mark an attempt as broken; False when it was before."""
        with self._changed:
            first, rendering.broken = not rendering.broken, True
            self._changed.notify_all()
            return first

    def condemn(self) -> None:
        """The accelerator is beyond use in this process: nothing more is begun."""
        with self._changed:
            self.fit = False
            self._changed.notify_all()

    def end(self, rendering: Rendering, *, forget: bool) -> None:
        """An attempt has ended; with `forget`, its unrecorded chunks hold nobody up any more."""
        with self._changed:
            self._held.pop(rendering.key, None)
            if forget:
                self._forget(rendering.key)
            self._changed.notify_all()

    def _enqueue(self, start: Start) -> None:
        rendering = Rendering(start, changes=list(start.changes))
        if rendering.key in self._held:
            raise ProtocolError(f"clip {rendering.key[0]} attempt {rendering.key[1]}: held already")
        if len(self._waiting) >= WAITING_MAX:
            raise ProtocolError(f"{WAITING_MAX} clips wait already; start fewer ahead")
        self._waiting.append(rendering)
        self._held[rendering.key] = rendering

    def _cancel(self, key: Key) -> None:
        rendering = self._held.get(key)
        if rendering is None:
            self._forget(key)
        elif rendering in self._waiting:
            self._withdraw(rendering)
            self._report(Cancelled(clip_id=key[0], attempt=key[1]))
        else:
            rendering.dropped = True

    def _yield(self, key: Key) -> None:
        rendering = self._held.get(key)
        if rendering is None:
            return
        if rendering in self._waiting:
            self._withdraw(rendering)
            self._report(Yielded(clip_id=key[0], attempt=key[1]))
        else:
            rendering.yielding = True

    def _steer(self, command: Steer) -> None:
        rendering = self._held.get((command.clip_id, command.attempt))
        if rendering is not None:
            rendering.changes.append(command.change)

    def _stop(self) -> None:
        self._stopping = True
        self._waiting.clear()
        for rendering in self._held.values():
            rendering.dropped = True

    def _withdraw(self, rendering: Rendering) -> None:
        self._waiting.remove(rendering)
        del self._held[rendering.key]

    def _forget(self, key: Key) -> None:
        self._unrecorded = {entry for entry in self._unrecorded if entry[0] != key}
