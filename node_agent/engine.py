"""Keeps a render child running, and passes its reports to the attempts that it renders."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from node_agent.outbox import AttemptKey
from node_agent.render.child import ChildExit, ChildGone, ChildOptions, RenderChild
from node_agent.render.messages import (
    Cancel,
    ChunkDone,
    Command,
    LoadFailed,
    Ready,
    Recorded,
    Report,
    Start,
    Started,
    Yield,
)

logger = logging.getLogger(__name__)

RESTART_SECONDS_FIRST = 0.5
RESTART_SECONDS_MAX = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StallLimits:
    """When a child that reports no chunk is taken for hung (REL-6)."""

    multiple: float = 10.0
    """Of the longest chunk time seen on this card."""
    seconds_min: float = 120.0
    seconds_first: float = 1800.0
    """Before this child has rendered a chunk: kernels may have to be compiled."""


@dataclass(frozen=True, slots=True)
class ChildDied:
    """The child ended while it held an attempt."""

    exit: ChildExit
    stalled: bool


Inbox = asyncio.Queue["Report | ChildDied"]


class Engine:
    """One card's render child, started again whenever it ends."""

    def __init__(
        self,
        options: ChildOptions,
        on_change: Callable[[], None],
        stall: StallLimits | None = None,
    ) -> None:
        self.options = options
        self._on_change = on_change
        self._stall = stall or StallLimits()
        self._inboxes: dict[AttemptKey, Inbox] = {}
        self._child: RenderChild | None = None
        self._rendering: set[AttemptKey] = set()
        self._progress_at = 0.0
        self._chunk_seconds_max = 0.0
        self._unrecorded: set[tuple[AttemptKey, int]] = set()
        self._stalled = False
        self._is_ready = asyncio.Event()
        self.about: Ready | None = None
        """What the last child that was ready said of itself."""
        self.condition = "loading"
        """"ready", or why the card takes no clips."""
        self.restarts = 0

    @property
    def ready(self) -> bool:
        """The child has its model and takes clips."""
        return self._is_ready.is_set()

    async def run(self) -> None:
        """Start the child, and again after each end, for ever."""
        pause = RESTART_SECONDS_FIRST
        try:
            while True:
                began = time.monotonic()
                await self._run_child()
                lived = time.monotonic() - began
                pause = RESTART_SECONDS_FIRST if lived > 60 else min(pause * 2, RESTART_SECONDS_MAX)
                self.restarts += 1
                await asyncio.sleep(pause)
        finally:
            if self._child is not None:
                with contextlib.suppress(ProcessLookupError):
                    self._child.kill()

    async def start(self, start: Start, inbox: Inbox) -> None:
        """Give the child a clip, as soon as there is one; reports go to `inbox`."""
        key = (start.spec.clip_id, start.attempt)
        while True:
            await self._is_ready.wait()
            self._inboxes[key] = inbox
            with contextlib.suppress(ChildGone):
                await self._send(start)
                return
            await asyncio.sleep(0.05)

    async def recorded(self, key: AttemptKey, chunk: int) -> None:
        """Tell the child that a chunk is safe."""
        self._unrecorded.discard((key, chunk))
        self._progress_at = time.monotonic()
        await self._tell(Recorded(clip_id=key[0], attempt=key[1], chunk=chunk))

    async def give_up(self, key: AttemptKey) -> None:
        """Ask for a yield at the next chunk boundary."""
        await self._tell(Yield(clip_id=key[0], attempt=key[1]))

    async def drop(self, key: AttemptKey) -> None:
        """Drop an attempt at once; nothing more is heard of it."""
        self._inboxes.pop(key, None)
        self._unrecorded = {entry for entry in self._unrecorded if entry[0] != key}
        await self._tell(Cancel(clip_id=key[0], attempt=key[1]))

    async def _tell(self, command: Command) -> None:
        with contextlib.suppress(ChildGone):  # a dead child holds nothing
            await self._send(command)

    async def _send(self, command: Command) -> None:
        if self._child is None:
            raise ChildGone("no render child is running")
        await self._child.send(command)

    async def _run_child(self) -> None:
        child = RenderChild(self.options)
        await child.start()
        self._child, self._stalled = child, False
        self._rendering.clear()
        self._unrecorded.clear()
        watch = asyncio.create_task(self._watch(child))
        try:
            async for report in child:
                self._take(report)
        finally:
            watch.cancel()
            self._child = None
            self._is_ready.clear()
        exit_ = await child.wait()
        if self.condition == "ready":
            self.condition = f"{exit_}; starting it again"
        logger.warning("%s", exit_)
        died = ChildDied(exit_, self._stalled)
        inboxes, self._inboxes = self._inboxes, {}
        for inbox in inboxes.values():
            inbox.put_nowait(died)
        self._on_change()

    def _take(self, report: Report) -> None:
        match report:
            case Ready():
                self.about, self.condition = report, "ready"
                self._is_ready.set()
                self._on_change()
                return
            case LoadFailed(message=message):
                self.condition = f"cannot render: {message}"
                self._on_change()
                return
        key = (report.clip_id, report.attempt)
        if isinstance(report, Started):
            self._rendering.add(key)
            self._progress_at = time.monotonic()
        elif isinstance(report, ChunkDone):
            self._progress_at = time.monotonic()
            self._unrecorded.add((key, report.chunk))
            self._chunk_seconds_max = max(self._chunk_seconds_max, report.render_seconds)
        else:
            self._rendering.discard(key)
        inbox = self._inboxes.get(key)
        if inbox is not None:
            inbox.put_nowait(report)
            if not isinstance(report, Started | ChunkDone):
                del self._inboxes[key]

    async def _watch(self, child: RenderChild) -> None:
        """Kill the child when it has been silent for too long in the midst of a clip."""
        while True:
            await asyncio.sleep(1.0)
            limit = self.options.unrecorded_max * self.options.lanes
            waits_for_farm = len(self._unrecorded) >= limit
            if not self._rendering or waits_for_farm:
                continue
            silent = time.monotonic() - self._progress_at
            if silent > self.stall_seconds():
                logger.error("no chunk for %.0f s: killing the render child", silent)
                self._stalled = True
                child.kill()
                return

    def stall_seconds(self) -> float:
        """Silence after which the child is taken for hung."""
        if self._chunk_seconds_max == 0.0:
            return self._stall.seconds_first
        return max(self._stall.seconds_min, self._stall.multiple * self._chunk_seconds_max)
