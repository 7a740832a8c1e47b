"""One attempt at a clip, from its lease to its take: fetch, render, deliver.

Whatever it uploads is reported only afterwards, and its chunks are delivered as they are made,
so that its card may die at any point and lose no more than the chunk in render and the one in
flight.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
from collections.abc import Coroutine, Iterable
from pathlib import Path

from heliostat.v1 import node_service_pb2 as node_pb
from heliostat.v1 import types_pb2 as types_pb
from node_agent.chunks import EMBEDDINGS, INIT, NEGATIVE, SEGMENT, ChunkFiles, fetch
from node_agent.delivery import Artifact, AttemptFailed, Delivery, StaleAttempt
from node_agent.encode import TakeError
from node_agent.engine import CannotRender, ChildDied, Inbox
from node_agent.full_disk import patiently
from node_agent.inputs import Inputs, fetch_inputs
from node_agent.orders import changes_of, mark_messages, render_spec
from node_agent.outbox import AttemptKey
from node_agent.render.child import ChildOptions
from node_agent.render.messages import (
    Cancelled,
    ChunkDone,
    Done,
    Failed,
    Failure,
    Start,
    Started,
    Yielded,
)
from node_agent.render.renderer import needed_negatives
from node_agent.sidecar import ChunkRecord
from node_agent.spans import chunk_span
from node_agent.take import TakeMaker
from node_agent.workbench import Workbench

logger = logging.getLogger(__name__)

FAILURES = {
    Failure.INPUT: types_pb.FAILURE_CLASS_INPUT,
    Failure.OUT_OF_MEMORY: types_pb.FAILURE_CLASS_OUT_OF_MEMORY,
    Failure.NODE: types_pb.FAILURE_CLASS_NODE,
    Failure.STORAGE: types_pb.FAILURE_CLASS_STORAGE,
}


class Attempt:
    """A lease of this card, being worked on."""

    def __init__(self, lease: node_pb.Lease, tools: Workbench) -> None:
        self.key: AttemptKey = (lease.clip_id, lease.attempt)
        self.started = False
        """The renderer has begun it."""
        self.finishing = False
        """The renderer is done with it: it needs no slot any more."""
        self.over = False
        """Nothing is left to do but to remove its files."""
        self.batch_id = lease.order.batch_id
        self._order = lease.order
        self._tools = tools
        self._delivery = Delivery(self.key, tools)
        self._inbox: Inbox = asyncio.Queue()
        self._files = ChunkFiles()
        self._inputs = Inputs()
        self._directory = tools.spool / f"{lease.clip_id}-a{lease.attempt}"
        self._chunks_max = lease.chunks_max
        self._yield_asked = asyncio.Event()
        self._changes = changes_of(lease.steers)
        self._changes_followed: set[int] = set()
        """Numbers of those that chunks made here were begun with."""
        self._changes_told: set[int] | None = None
        """Numbers of those that the child knows; None while no child has the clip."""
        self._dropped = False
        self._options: ChildOptions | None = None
        """Of the child that has it."""
        self._out_of_memory = ""
        """What was said when it ran out of memory for the first time."""

    @property
    def held(self) -> node_pb.HeldAttempt:
        """What the farm is told of it with each exchange."""
        made = max(len(self._order.recorded), len(self._files.records))
        return node_pb.HeldAttempt(
            clip_id=self.key[0], attempt=self.key[1], started=self.started, chunks_made=made
        )

    async def run(self) -> None:
        """Work until the farm has recorded how it ended, or wants it no more."""
        recorded, frames = len(self._order.recorded), self._order.spec.frames
        logger.info("the attempt begins: %d frames, %d chunks are recorded", frames, recorded)
        try:
            failure = await self._outcome()
            if failure is not None:
                logger.warning("the attempt failed: %s", failure.message)
                with contextlib.suppress(StaleAttempt):
                    await self._delivery.report(node_pb.OutboxEntry(failure=failure))
        finally:
            self.over = True
            await asyncio.shield(self._clean_up())

    async def give_up(self) -> None:
        """Asked to yield: stop at the next chunk boundary."""
        if not self._yield_asked.is_set():
            self._yield_asked.set()
            await self._tools.engine.give_up(self.key)

    async def steer(self, marks: Iterable[types_pb.PromptMark]) -> None:
        """Follow these changes of prompt: all that no recorded chunk was begun with."""
        self._changes = changes_of(marks)
        await self._tell_changes()

    async def _tell_changes(self) -> None:
        if (told := self._changes_told) is None:
            return
        for change in self._changes:
            if change.number not in told:
                told.add(change.number)
                await self._tools.engine.steer(self.key, change)

    async def _outcome(self) -> node_pb.FailureReport | None:
        """Work; what failed, or None when the farm knows how it ended."""
        failure: node_pb.FailureReport | None = None
        try:
            await self._work()
        except* StaleAttempt:
            logger.info("the attempt is not wanted any more")
        except* AttemptFailed as group:
            error = _first(group)
            failure = node_pb.FailureReport(failure_class=error.failure, message=str(error))
        except* (OSError, TakeError) as group:
            failure = node_pb.FailureReport(
                failure_class=types_pb.FAILURE_CLASS_STORAGE,
                message=f"on the node's disk: {group.exceptions[0]}",
            )
        except* Exception as group:
            logger.exception("the attempt broke")
            failure = node_pb.FailureReport(
                failure_class=types_pb.FAILURE_CLASS_NODE, message=f"in the agent: {group!r}"
            )
        return failure

    def _is_dropped(self) -> bool:
        return self._dropped

    async def _clean_up(self) -> None:
        self._dropped = True
        await self._tools.engine.drop(self.key)
        await asyncio.to_thread(shutil.rmtree, self._directory, ignore_errors=True)

    async def _work(self) -> None:
        """Whatever it takes to give the farm the take, or the chunks up to where it must stop."""
        async with asyncio.TaskGroup() as deliveries:
            yielded = not await self._prepared()
            if not yielded and not self._is_rendered():
                yielded = await self._render(deliveries)
            self.finishing = True
            self._tools.outbox.changed.set()  # there is room for another clip
            if not yielded:
                await self._deliver_take()
        if yielded:
            await self._delivery.report(node_pb.OutboxEntry(yielded=node_pb.YieldReport()))

    async def _prepared(self) -> bool:
        """Fetch what it goes on from; False when it is to be given up before it began."""
        if 0 < self._chunks_max <= len(self._order.recorded):
            return False
        return await self._unless_yielding(self._fetch())

    async def _unless_yielding(self, work: Coroutine[None, None, None]) -> bool:
        """Work on what may be left in the middle; False when a yield was asked meanwhile."""
        task = asyncio.ensure_future(work)
        asked = asyncio.ensure_future(self._yield_asked.wait())
        try:
            await asyncio.wait({task, asked}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                await task
            return task.done()
        finally:
            asked.cancel()
            task.cancel()
            await asyncio.gather(asked, task, return_exceptions=True)

    async def _fetch(self) -> None:
        order, tools = self._order, self._tools
        await asyncio.to_thread(self._directory.mkdir, parents=True, exist_ok=True)
        self._files = await fetch(
            order.recorded,
            self._directory,
            tools.transfer,
            skip_first_chunk=order.spec.skip_first_chunk,
        )
        if not self._is_rendered():
            self._inputs = await fetch_inputs(
                order, self._directory, tools.transfer, tools.inputs, tools.roots
            )

    def _is_rendered(self) -> bool:
        """Every chunk of the clip is here."""
        spec = render_spec(self.key[0], self._order, self._inputs)
        return len(self._files.records) >= spec.chunks

    async def _render(self, deliveries: asyncio.TaskGroup) -> bool:
        """Have the child render what is left, delivering chunks meanwhile. True: it yielded."""
        if not await self._start_child():
            return True
        sent: list[asyncio.Task[None]] = []
        while True:
            report = await self._inbox.get()
            match report:
                case Started():
                    self.started = True
                    self._tools.outbox.changed.set()
                case ChunkDone():
                    delivery = self._deliver_chunk(report, self._keep(report))
                    sent.append(deliveries.create_task(delivery))
                case Done():
                    return False
                case Yielded():
                    return True
                case Cancelled():
                    raise StaleAttempt
                case ChildDied() | Failed():
                    await asyncio.gather(*sent)
                    if self._is_rendered():
                        return False
                    self._may_go_on(report)
                    if not await self._start_child():
                        return True

    def _may_go_on(self, report: ChildDied | Failed) -> None:
        """Return when another child may go on with what is recorded. Raises `AttemptFailed`."""
        if isinstance(report, ChildDied):
            if self.started and not report.replaced:
                stall, node = types_pb.FAILURE_CLASS_STALL, types_pb.FAILURE_CLASS_NODE
                raise AttemptFailed(stall if report.stalled else node, str(report.exit))
        elif report.failure is not Failure.OUT_OF_MEMORY:
            raise AttemptFailed(FAILURES[report.failure], report.message)
        else:
            self._shrink(report.message)

    def _shrink(self, message: str) -> None:
        """Out of memory: once more with the next smaller setting. Raises `AttemptFailed`."""
        options = self._options
        assert options is not None, "a child has failed it"
        if self._out_of_memory:
            raise self._memory_failure(message)
        smaller = self._tools.engine.shrink(options)
        if smaller is None:
            raise AttemptFailed(
                types_pb.FAILURE_CLASS_OUT_OF_MEMORY,
                f"{message}; there is no smaller setting than {options.memory_words} here: a card"
                " with more memory, or a smaller size, would do",
            )
        self._out_of_memory = f"with {options.memory_words}: {message}"

    def _memory_failure(self, message: str) -> AttemptFailed:
        """Of a clip that the smaller setting did not help."""
        words = self._options.memory_words if self._options else ""
        return AttemptFailed(
            types_pb.FAILURE_CLASS_OUT_OF_MEMORY,
            f"{self._out_of_memory}; once more, with {words}: {message}",
        )

    async def _start_child(self) -> bool:
        """Give it to the child, to go on behind the chunks that are here; False when it yields.

        A card that cannot render gives it up, for nothing is wrong with the clip; the farm hears
        from the card's condition why.
        """
        records, self._changes_told = self._files.records, None
        start = Start(
            spec=render_spec(self.key[0], self._order, self._inputs),
            attempt=self.key[1],
            fps=self._order.spec.fps,
            directory=str(self._directory),
            resume_chunk=len(records),
            negatives={
                chunk: str(self._files.negatives[chunk])
                for chunk in needed_negatives(
                    len(records), skip_first_chunk=self._order.spec.skip_first_chunk
                )
                if chunk in self._files.negatives
            },
            embeddings=str(self._files.embeddings) if self._files.embeddings else None,
            steered=records[max(records)].steered if records else (),
            changes=tuple(c for c in self._changes if c.number not in self._changes_followed),
            chunks_max=self._chunks_max,
        )
        try:
            return await self._unless_yielding(self._hand_over(start))
        except CannotRender as error:
            if self._out_of_memory:
                raise self._memory_failure(str(error)) from error
            logger.warning("the attempt is given up: %s", error)
            return False

    async def _hand_over(self, start: Start) -> None:
        engine = self._tools.engine
        self._options = await engine.start(start, self._inbox)
        self._changes_told = self._changes_followed | {change.number for change in start.changes}
        await self._tell_changes()
        if self._yield_asked.is_set():  # the word may have come to the child before the clip
            await engine.give_up(self.key)

    def _keep(self, report: ChunkDone) -> dict[Artifact, Path]:
        """Note a chunk that the child has made: its files, and how it was made."""
        counters = self._tools.counters
        chunk_span(self._tools, self.key, report)
        counters.frames_rendered += report.frames_rendered
        counters.chunks_rendered += 1
        counters.render_seconds += report.render_seconds
        counters.busy_seconds += report.busy_seconds
        counters.idle_seconds += report.idle_seconds
        counters.passes += report.passes
        counters.pass_seconds += report.pass_seconds
        counters.encode_seconds += report.encode_seconds
        self._files.vae = report.vae
        self._changes_followed.update(report.changes)
        self._files.records[report.chunk] = ChunkRecord(
            chunk=report.chunk,
            frames=report.frames,
            render_seconds=report.render_seconds,
            card_id=self._tools.card_id,
            attempt=self.key[1],
            energy_joules=report.energy_joules,
            lanes=report.lanes,
            steered=report.steered,
            profile=report.profile or None,
        )
        files = [(SEGMENT, report.segment)]
        if report.init is not None:
            self._files.check_encoder(Path(report.init.path))
            if report.chunk == 0:
                files.append((INIT, report.init))
        if report.negative is not None:
            files.append((NEGATIVE, report.negative))
        if report.embeddings is not None and report.chunk == 0:
            files.append((EMBEDDINGS, report.embeddings))
        for kind, file in files:
            self._files.keep(report.chunk, kind, Path(file.path))
        return {Artifact.of(kind, report.chunk, file): Path(file.path) for kind, file in files}

    async def _deliver_chunk(self, report: ChunkDone, artifacts: dict[Artifact, Path]) -> None:
        """Upload a chunk's files, report it, and let the child go on once it is recorded."""
        entry = node_pb.ChunkReport(
            chunk=report.chunk,
            frames=report.frames,
            render_seconds=report.render_seconds,
            encode_seconds=report.encode_seconds,
            artifacts=[artifact.message for artifact in artifacts],
            energy_joules=report.energy_joules,
            lanes=report.lanes,
            steered=mark_messages(report.steered),
            profile=report.profile,
            changes=report.changes,
        )
        await self._delivery.deliver(artifacts, node_pb.OutboxEntry(chunk=entry))
        await self._tools.engine.recorded(self.key, report.chunk)

    async def _deliver_take(self) -> None:
        """Put the take together, upload it with its sidecar, report it."""
        maker = TakeMaker(self.key, self._order, self._inputs, self._tools)
        made = await asyncio.to_thread(
            patiently, lambda: maker.make(self._files, self._directory), in_vain=self._is_dropped
        )
        video = Artifact.of(types_pb.ARTIFACT_KIND_TAKE, 0, made.video)
        data = Artifact.of(types_pb.ARTIFACT_KIND_SIDECAR, 0, made.sidecar)
        report = node_pb.TakeReport(
            frames=self._order.spec.frames,
            video=video.message,
            sidecar=data.message,
            signals=node_pb.Signals(**made.signals.known),
            marks=made.marks,
            stack_id=made.stack_id,
        )
        await self._delivery.deliver(
            {video: Path(made.video.path), data: Path(made.sidecar.path)},
            node_pb.OutboxEntry(take=report),
        )
        self._tools.counters.clips_delivered += 1
        logger.info("the take is delivered")


def _first(group: ExceptionGroup[AttemptFailed]) -> AttemptFailed:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error
