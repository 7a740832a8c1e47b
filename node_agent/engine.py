"""Keeps a render child running, and passes its reports to the attempts that it renders."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from node_agent.child_log import ChildLog, ids_of
from node_agent.outbox import AttemptKey
from node_agent.progress import Progress, StallLimits
from node_agent.render.child import ChildExit, ChildGone, ChildOptions, RenderChild
from node_agent.render.messages import (
    Cancel,
    Change,
    ChunkDone,
    Command,
    LoadFailed,
    Ready,
    Recorded,
    Report,
    Start,
    Started,
    Steer,
    Yield,
)

logger = logging.getLogger(__name__)

RESTART_SECONDS_FIRST = 0.5
RESTART_SECONDS_MAX = 30.0
WATCH_SECONDS = 1.0
"""Between two looks at whether the child hangs."""
KILL_SECONDS_MAX = 5.0

RESTING = "resting, its GPU is free"


@dataclass(frozen=True, slots=True)
class ChildDied:
    """The child ended while it held an attempt."""

    exit: ChildExit
    stalled: bool
    replaced: bool = False
    """The engine ended it to start it otherwise: what it held goes on in the next one."""


class CannotRender(Exception):
    """The child does not come up; the message says why."""


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
        """What the child runs with; less than at first where a clip ran out of memory."""
        self._options_first = options
        self._on_change = on_change
        self._inboxes: dict[AttemptKey, Inbox] = {}
        self._child: RenderChild | None = None
        self._progress = Progress(stall)
        self._stalled = False
        self._awake = asyncio.Event()
        self._awake.set()
        self._is_ready = asyncio.Event()
        self._settled = asyncio.Event()
        """The child is ready, or has ended before it was."""
        self._broken = ""
        """Why it did not become ready."""
        self.about: Ready | None = None
        """What the last child that was ready said of itself."""
        self.model: Path | None = None
        """The directory of the model that it has."""
        self.condition = "loading"
        """"ready", or why the card takes no clips."""
        self.restarts = 0

    @property
    def ready(self) -> bool:
        """The child has its model and takes clips."""
        return self._is_ready.is_set()

    @property
    def pid(self) -> int | None:
        """The child's process id; None while there is none."""
        return self._child.pid if self._child is not None else None

    async def run(self) -> None:
        """Start the child, and again after each end, until cancelled: then it is ended too."""
        pause = RESTART_SECONDS_FIRST
        while True:
            if not self._awake.is_set():
                self.condition = RESTING
                self._on_change()
                await self._awake.wait()
            began = time.monotonic()
            if await self._run_child():
                continue
            lived = time.monotonic() - began
            pause = RESTART_SECONDS_FIRST if lived > 60 else min(pause * 2, RESTART_SECONDS_MAX)
            self.restarts += 1
            await asyncio.sleep(pause)

    async def settled(self) -> None:
        """Wait for the child to be ready. Raises `CannotRender` when it does not come up."""
        await self._settled.wait()
        if self._broken:
            raise CannotRender(self._broken)

    async def start(self, start: Start, inbox: Inbox) -> ChildOptions:
        """Give the child a clip, as soon as there is one; reports go to `inbox`.

        Returns what the child runs with. Raises `CannotRender`.
        """
        key = (start.spec.clip_id, start.attempt)
        while True:
            await self.settled()
            self._inboxes[key] = inbox
            options = self.options
            with contextlib.suppress(ChildGone):
                await self._send(start)
                return options
            await asyncio.sleep(0.05)

    async def recorded(self, key: AttemptKey, chunk: int) -> None:
        """Tell the child that a chunk is safe."""
        self._progress.recorded(key, chunk)
        await self._tell(Recorded(clip_id=key[0], attempt=key[1], chunk=chunk))

    async def give_up(self, key: AttemptKey) -> None:
        """Ask for a yield at the next chunk boundary."""
        await self._tell(Yield(clip_id=key[0], attempt=key[1]))

    async def steer(self, key: AttemptKey, change: Change) -> None:
        """Ask for another prompt."""
        await self._tell(Steer(clip_id=key[0], attempt=key[1], change=change))

    async def drop(self, key: AttemptKey) -> None:
        """Drop an attempt at once; nothing more is heard of it."""
        self._inboxes.pop(key, None)
        self._progress.dropped(key)
        await self._tell(Cancel(clip_id=key[0], attempt=key[1]))

    def rest(self) -> None:
        """End the child until `wake`, so that the GPU's memory is free: for who holds nothing."""
        if self._awake.is_set():
            self._awake.clear()
            self.options = self._options_first
            self.condition = RESTING if self._child is None else "ending its render child"
            self._unsettle()
            self._kill()
            self._on_change()

    def wake(self) -> None:
        """Have a child again."""
        if not self._awake.is_set():
            self.condition = "loading"
            self._awake.set()

    def change(self, options: ChildOptions, condition: str) -> None:
        """Have a child with other options, another model's say: for who holds nothing."""
        if options != self._options_first:
            self.options = self._options_first = options
            if self._awake.is_set():
                self.condition = condition
            self._unsettle()
            self._kill()
            self._on_change()

    def shrink(self, used: ChildOptions) -> ChildOptions | None:
        """A clip ran out of memory with `used`: have a child that takes less, with what it holds.

        Several clips of one child may say so, and it shrinks once. Returns what the next child
        runs with; None where there is no smaller setting.
        """
        if self.options == used:
            smaller = used.smaller(self.about.placement if self.about else "")
            if smaller is None:
                return None
            logger.warning("out of memory: starting the render child with %s", smaller.memory_words)
            self.options = smaller
            self.condition = f"loading with {smaller.memory_words}"
            self._unsettle()
            self._kill()
        return self.options

    def _unsettle(self) -> None:
        self._is_ready.clear()
        self._settled.clear()
        self._broken = ""

    def _kill(self) -> None:
        if self._child is not None:
            with contextlib.suppress(ProcessLookupError):
                self._child.kill()

    async def _tell(self, command: Command) -> None:
        with contextlib.suppress(ChildGone):  # a dead child holds nothing
            await self._send(command)

    async def _send(self, command: Command) -> None:
        if self._child is None:
            raise ChildGone("no render child is running")
        await self._child.send(command)

    async def _run_child(self) -> bool:
        """Run a child to its end. True: it was ended on purpose."""
        options = self.options
        log = ChildLog(lambda: tuple(self._inboxes))
        child = RenderChild(options, log=log.writer)
        self._unsettle()
        try:
            await child.start()
        finally:
            log.follow()
        self._child, self._stalled = child, False
        self._progress.begin()
        if self._is_outdated(options):
            child.kill()
        watch = asyncio.create_task(self._watch(child, options))
        was_ready = False
        try:
            async for report in child:
                was_ready = was_ready or isinstance(report, Ready)
                if not self._is_outdated(options) or isinstance(report, ChunkDone):
                    self._take(report)
        except asyncio.CancelledError:
            child.kill()
            with contextlib.suppress(TimeoutError):  # one that hangs in a driver dies with us
                async with asyncio.timeout(KILL_SECONDS_MAX):
                    await child.wait()
            raise
        finally:
            watch.cancel()
            self._child = None
            self._is_ready.clear()
        exit_ = await child.wait()
        replaced = self._is_outdated(options)
        if not replaced:
            self._note_end(exit_, was_ready=was_ready)
        died = ChildDied(exit_, self._stalled, replaced)
        inboxes, self._inboxes = self._inboxes, {}
        for inbox in inboxes.values():
            inbox.put_nowait(died)
        self._on_change()
        return replaced

    def _is_outdated(self, options: ChildOptions) -> bool:
        """A child with these options is not wanted any more."""
        return not self._awake.is_set() or self.options != options

    def _note_end(self, exit_: ChildExit, *, was_ready: bool) -> None:
        """A child ended that was not to."""
        logger.warning("%s", exit_, extra=ids_of(self._inboxes))
        if self.condition in ("ready", "loading"):
            self.condition = f"{exit_}; starting it again"
        self._settled.clear()
        if not was_ready:
            self._broken = self._broken or f"{exit_} before it was ready"
            self.options = self._options_first  # what was tried for want of memory is no help
            self._settled.set()

    def _take(self, report: Report) -> None:
        match report:
            case Ready():
                self.about, self.model, self.condition = report, self.options.model, "ready"
                self._is_ready.set()
                self._settled.set()
                self._on_change()
                return
            case LoadFailed(message=message):
                self._broken = self.condition = f"cannot render: {message}"
                self._on_change()
                return
        key = (report.clip_id, report.attempt)
        if isinstance(report, Started):
            self._progress.started(key)
        elif isinstance(report, ChunkDone):
            self._progress.made(key, report.chunk, report.render_seconds * report.lanes)
        else:
            self._progress.ended(key)
        inbox = self._inboxes.get(key)
        if inbox is not None:
            inbox.put_nowait(report)
            if not isinstance(report, Started | ChunkDone):
                del self._inboxes[key]

    async def _watch(self, child: RenderChild, options: ChildOptions) -> None:
        """Kill the child when it has been silent for too long in the midst of a clip."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            silent = self._progress.stalled_seconds(options.unrecorded_max * options.lanes)
            if silent is not None:
                logger.error("no chunk for %.0f s: killing the render child", silent)
                self._stalled = True
                child.kill()
                return
