"""The render child of a simulated card: one clip after another, chunk by chunk."""

from __future__ import annotations

from collections import deque
from typing import Final, Protocol

from farm.sim.attempt import Attempt, AttemptKey
from farm.sim.card import SimCard
from farm.sim.timeline import Call
from farm.sim.world import World
from heliostat.v1 import node_service_pb2 as node_pb
from heliostat.v1 import types_pb2 as types_pb

UNRECORDED_MAX: Final = 2
"""Chunks that may be on their way to the farm while no further one begins."""
STALL_MULTIPLE: Final = 10.0
STALL_SECONDS_MIN: Final = 120.0
"""A child that is silent for so long is killed."""
JITTER: Final = 0.02
"""A chunk takes this much more or less than the last."""

_FATES: Final = (
    ("input", types_pb.FAILURE_CLASS_INPUT),
    ("oom", types_pb.FAILURE_CLASS_OUT_OF_MEMORY),
    ("node", types_pb.FAILURE_CLASS_NODE),
    ("storage", types_pb.FAILURE_CLASS_STORAGE),
    ("stall", types_pb.FAILURE_CLASS_STALL),
)
_CHILD_DIES: Final = (types_pb.FAILURE_CLASS_NODE, types_pb.FAILURE_CLASS_STALL)


class Holder(Protocol):
    """The agent, as its child sees it."""

    def after(self, seconds: float, call: Call) -> None:
        """Call when so many seconds have passed, if this agent still lives then."""
        ...

    def change(self) -> None:
        """There is something to tell the farm."""
        ...

    def chunk_made(self, attempt: Attempt, chunk: int, seconds: float) -> None:
        """A chunk is rendered and has to be delivered."""
        ...

    def rendering_ended(self, attempt: Attempt) -> None:
        """Nothing more is rendered of it: it is complete, yielded, or broke."""
        ...


class SimChild:
    """Renders what waits in line; not while the model loads."""

    def __init__(self, card: SimCard, world: World, holder: Holder) -> None:
        self.ready = False
        self._card = card
        self._world = world
        self._holder = holder
        self._line: deque[Attempt] = deque()
        self._rendering: Attempt | None = None
        self._began = 0.0
        self._is_held_up = False
        self._unrecorded: set[tuple[AttemptKey, int]] = set()
        self._counts_as_idle = False

    def load(self, seconds: float) -> None:
        """Start, and be ready when the model is on the card."""
        self._holder.after(seconds, self._loaded)

    def _loaded(self) -> None:
        self.ready = True
        self._holder.change()
        self._next()

    def start(self, attempt: Attempt) -> None:
        """Put a clip in line."""
        self._line.append(attempt)
        self._next()

    def give_up(self, attempt: Attempt) -> None:
        """Yield at the next chunk boundary; a clip that has not begun yields at once."""
        attempt.yield_asked = True
        if attempt in self._line:
            self._line.remove(attempt)
            self._end(attempt, yielded=True)
        elif self._rendering is attempt and self._is_held_up:
            self._is_held_up = False
            self._next_chunk(attempt)

    def drop(self, attempt: Attempt) -> None:
        """Stop at once; nothing more is heard of it."""
        self._unrecorded = {each for each in self._unrecorded if each[0] != attempt.key}
        if attempt in self._line:
            self._line.remove(attempt)
        if self._rendering is attempt:
            self._cut_short()
        self._go_on()

    def recorded(self, attempt: Attempt, chunk: int) -> None:
        """A chunk is safe."""
        self._unrecorded.discard((attempt.key, chunk))
        self._go_on()

    def die(self) -> None:
        """The agent is gone, and its child with it."""
        if self._rendering is not None:
            self._cut_short()
        self.ready = False
        self._line.clear()
        self._count_idle()

    def _cut_short(self) -> None:
        attempt, self._rendering = self._rendering, None
        now = self._world.timeline.monotonic()
        if attempt is not None and self._began and not self._is_held_up:
            self._world.record.counts["chunks cut short"] += 1
            self._world.record.busy[self._card.card_id] += now - self._began
        self._began, self._is_held_up = 0.0, False

    def _go_on(self) -> None:
        """Something came free: a place in line, or an unrecorded chunk."""
        if self._rendering is not None and self._is_held_up:
            self._is_held_up = False
            self._next_chunk(self._rendering)
        self._next()

    def _next(self) -> None:
        if self.ready and self._rendering is None and self._line:
            attempt = self._rendering = self._line.popleft()
            attempt.started = True
            self._holder.change()
            seconds = 0.0 if attempt.next_chunk else self._world.pace.prompts
            self._holder.after(seconds, lambda: self._next_chunk(attempt))
        self._count_idle()

    def _next_chunk(self, attempt: Attempt) -> None:
        if self._rendering is not attempt or self._is_held_up:
            return
        if attempt.is_to_yield:
            self._end(attempt, yielded=True)
        elif len(self._unrecorded) >= UNRECORDED_MAX:
            self._is_held_up = True
        else:
            self._render(attempt)

    def _render(self, attempt: Attempt) -> None:
        world, chunk = self._world, attempt.next_chunk
        self._began = world.timeline.monotonic()
        usual = self._card.type.chunk_seconds(attempt.work, world.model) * self._card.slowness
        seconds = usual * world.dice("jitter").uniform(1 - JITTER, 1 + JITTER)
        failure = self._fate(attempt)
        if failure == types_pb.FAILURE_CLASS_STALL:
            seconds = max(STALL_SECONDS_MIN, STALL_MULTIPLE * usual)
        elif failure is not None:
            seconds *= world.dice("when it fails").random()
        began = self._began

        def over() -> None:
            if self._rendering is not attempt or self._began != began:
                return
            world.record.rendered(
                self._card.card_id, attempt.key[0], began, world.timeline.monotonic()
            )
            self._began = 0.0
            if failure is not None:
                self._fail(attempt, failure)
                return
            attempt.next_chunk = chunk + 1
            self._unrecorded.add((attempt.key, chunk))
            self._holder.chunk_made(attempt, chunk, seconds)
            if attempt.next_chunk == attempt.chunks:
                self._end(attempt, yielded=False)
            else:
                self._next_chunk(attempt)

        self._holder.after(seconds, over)

    def _fate(self, attempt: Attempt) -> types_pb.FailureClass.ValueType | None:
        """How this chunk will fail, if it does."""
        world = self._world
        if world.is_poisoned(attempt.key[0]):
            return types_pb.FAILURE_CLASS_INPUT
        for name, failure in _FATES:
            if world.strikes(getattr(world.faults, name), name):
                return failure
        return None

    def _fail(self, attempt: Attempt, failure: types_pb.FailureClass.ValueType) -> None:
        self._world.record.counts["attempts failed"] += 1
        attempt.failure = node_pb.FailureReport(failure_class=failure, message="simulated")
        if failure in _CHILD_DIES:
            self.ready = False
            self._unrecorded.clear()
            self.load(self._world.pace.load)
        self._end(attempt, yielded=False)

    def _end(self, attempt: Attempt, *, yielded: bool) -> None:
        """No more is rendered of it."""
        attempt.yielded = yielded
        if self._rendering is attempt:
            self._rendering = None
        if yielded:
            self._world.record.mark(self._world.timeline.monotonic(), self._card.card_id, "yield")
        self._holder.rendering_ended(attempt)
        self._next()

    def _count_idle(self) -> None:
        is_idle = self.ready and self._rendering is None
        if is_idle != self._counts_as_idle:
            self._counts_as_idle = is_idle
            self._world.record.idle += 1 if is_idle else -1
