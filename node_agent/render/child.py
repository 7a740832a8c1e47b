"""The agent's side of its render child: start it, speak with it, notice its end.

Nothing here needs the main thread or a particular event loop: the child is started and written
to by a thread of its own, which lives as long as the child (the kernel's parent-death signal is
bound to the thread that started it, not to the process), and read by another.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, BinaryIO, Self, cast

from node_agent.memory_size import compile_words, memory_words
from node_agent.render.messages import (
    Command,
    ProtocolError,
    Report,
    Stop,
    command_bytes,
    read_report,
)
from node_agent.telemetry.visible import CUDA_DEVICE_ORDER


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildOptions:
    """Which renderer the child keeps, and where."""

    renderer: str
    """`testcard` or `helios`."""
    model: Path | None = None
    stamps: Path | None = None
    """File that remembers the model's verified hashes between starts."""
    device: str = "cpu"
    """`cpu` or `cuda:N`."""
    threads: int = 1
    seconds_per_chunk: float = 0.0
    """The test card's pace; 0 is as fast as it can."""
    lanes: int = 1
    """Clips that may be rendered in lockstep."""
    loras: Path | None = None
    """Directory of pinned LoRAs."""
    streamed: bool = False
    """As few weights as can be are on the card, also where it has room for them."""
    vram_bytes: int | None = None
    """The most of the card's memory to take; None is what is free."""
    ram_bytes: int | None = None
    """The most of the host's memory to take; None is what is free."""
    pageable: bool = False
    """Weights are streamed from ordinary memory, not from page-locked."""
    compiled: bool | None = None
    """Blocks are compiled; None is what suits the device."""
    unrecorded_max: int = 2
    """Chunks that may be begun and not yet recorded; 2 is what the farm promises."""

    def smaller(self, placement: str) -> ChildOptions | None:
        """The same with less of the card's memory: one lane, then weights streamed from the host.

        `placement` is where they are now (`Ready.placement`). None where nothing is left to leave.
        """
        if self.lanes > 1:
            return replace(self, lanes=1)
        if placement in ("resident", "partly streamed") and self.device != "cpu":
            return replace(self, streamed=True)
        return None

    @property
    def memory_words(self) -> str:
        """What it takes of the card's memory, for a person."""
        lanes = "one lane" if self.lanes == 1 else f"{self.lanes} lanes"
        return f"{lanes} and weights streamed from host memory" if self.streamed else lanes

    def environment(self) -> dict[str, str]:
        """What the child's CUDA and its memory allocator (glibc) are told.

        CUDA counts cards as NVML does, or another card's telemetry would be taken for this one's.
        Few arenas, or chunks that one thread allocates and another frees spread over all of them.
        The test card's buffers come and go in its own time, so they are kept or mapped by size;
        for a model on a CPU that would cost a third of its speed.
        """
        settings = {"CUDA_DEVICE_ORDER": CUDA_DEVICE_ORDER, "MALLOC_ARENA_MAX": "2"}
        if self.renderer == "testcard":
            settings |= {"MALLOC_MMAP_THRESHOLD_": str(4 << 20)}
            settings |= {"MALLOC_TRIM_THRESHOLD_": str(64 << 20)}
        return settings

    def arguments(self) -> list[str]:
        """As `node_agent.render.process` takes them."""
        arguments = ["--renderer", self.renderer, "--device", self.device]
        arguments += ["--threads", str(self.threads)]
        arguments += ["--seconds-per-chunk", repr(self.seconds_per_chunk)]
        arguments += ["--unrecorded-max", str(self.unrecorded_max), "--lanes", str(self.lanes)]
        files = (("--model", self.model), ("--stamps", self.stamps), ("--loras", self.loras))
        for flag, path in files:
            if path is not None:
                arguments += [flag, str(path)]
        arguments += memory_words(self.vram_bytes, self.ram_bytes, pageable=self.pageable)
        arguments += compile_words(self.compiled)
        return arguments + (["--streamed"] if self.streamed else [])


class ChildGone(Exception):
    """The render child has ended; what was sent to it is lost."""


@dataclass(frozen=True, slots=True)
class ChildExit:
    """How the child ended: by an exit code (`guard.ExitCode`) or by a signal."""

    code: int | None
    signal: int | None

    def __str__(self) -> str:
        if self.signal is None:
            return f"render child left with exit code {self.code}"
        return f"render child was killed by {signal.Signals(self.signal).name}"


class RenderChild:
    """One render child, from `start` to its end. Use another object for another start.

    Iterate over it for its reports: the first is `Ready` (or `LoadFailed`), the iteration ends
    when the child does, and `await wait()` then says how. All methods belong to one event loop.
    """

    def __init__(
        self,
        options: ChildOptions,
        *,
        environment: Mapping[str, str] | None = None,
        log: IO[bytes] | int | None = None,
    ) -> None:
        """`environment` is added to the agent's; `log` takes stderr (default: the agent's)."""
        self._options = options
        self._environment = {**options.environment(), **os.environ, **(environment or {})}
        self._log = log
        self._hands = ThreadPoolExecutor(1, thread_name_prefix="render-child")
        self._reports: asyncio.Queue[Report | None] = asyncio.Queue()
        self._exit: asyncio.Future[ChildExit] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The child's process id. Raises RuntimeError before `start`."""
        return self._started().pid

    async def start(self) -> None:
        """Start the process; returns before it is ready. Raises OSError."""
        if self._process is not None:
            raise RuntimeError("this child has been started before")
        loop = asyncio.get_running_loop()
        self._exit = loop.create_future()
        self._process = await loop.run_in_executor(self._hands, self._spawn)
        listener = threading.Thread(
            target=self._listen, args=(loop,), name="render-child-reports", daemon=True
        )
        listener.start()

    async def send(self, command: Command) -> None:
        """Send a command. Raises ChildGone, or ProtocolError for one that is too long."""
        content = command_bytes(command)
        if self._ended():
            raise ChildGone(str(await self.wait()))
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._hands, self._write, content)
        except (OSError, ValueError) as error:  # ValueError: its pipe has been closed
            raise ChildGone("the render child's pipe is closed") from error

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Report:
        """The next report, in order; a call that is cancelled loses none."""
        report = await self._reports.get()
        if report is None:
            self._reports.put_nowait(None)  # the end stays the end
            raise StopAsyncIteration
        return report

    async def wait(self) -> ChildExit:
        """Wait until the child has ended, and say how."""
        if self._exit is None:
            raise RuntimeError("this child was never started")
        return await asyncio.shield(self._exit)

    def kill(self) -> None:
        """End the child, and whatever it started, at once; for one that ended, do nothing."""
        process = self._started()
        if process.poll() is None:
            _kill_group(process.pid)

    async def stop(self, grace_seconds: float = 5.0) -> ChildExit:
        """Ask the child to leave; kill it when it has not after `grace_seconds`."""
        try:
            async with asyncio.timeout(grace_seconds):
                await self.send(Stop())
                return await self.wait()
        except (ChildGone, TimeoutError):
            self.kill()
        return await self.wait()

    def _spawn(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*self._program(), "--parent", str(os.getpid()), *self._options.arguments()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            bufsize=0,
            env=self._environment,
            process_group=0,  # a terminal's Ctrl-C is for the agent; kill() reaches them all
        )

    def _program(self) -> list[str]:
        # -P: modules come from where they are installed, not from the current directory
        return [sys.executable, "-P", "-m", "node_agent.render.process"]

    def _write(self, content: bytes) -> None:
        pipe = cast("BinaryIO", self._started().stdin)
        left = memoryview(content)
        while left:
            left = left[pipe.write(left) :]

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        """Pass reports on until the pipe ends, then how the child did."""
        process = self._started()
        pipe = cast("BinaryIO", process.stdout)
        try:
            while (report := read_report(pipe)) is not None:
                loop.call_soon_threadsafe(self._reports.put_nowait, report)
        except (ProtocolError, RuntimeError):  # RuntimeError: the agent's loop is closed
            self.kill()
        code = process.wait()
        _kill_group(process.pid)  # what it started and did not end
        ending = ChildExit(code, None) if code >= 0 else ChildExit(None, -code)
        pipe.close()
        try:
            loop.call_soon_threadsafe(self._end, ending)
        except RuntimeError:
            self._hands.shutdown(wait=False)

    def _end(self, ending: ChildExit) -> None:
        if self._exit is not None and not self._exit.done():
            self._exit.set_result(ending)
        self._reports.put_nowait(None)
        # behind a write in hand, if there is one: it fails now that nobody reads
        self._hands.submit(cast("BinaryIO", self._started().stdin).close)
        self._hands.shutdown(wait=False)

    def _ended(self) -> bool:
        return self._exit is not None and self._exit.done()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("this child is not started yet")
        return self._process


def _kill_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
