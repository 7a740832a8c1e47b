"""The head of a simulation: its ledger, whichever coordinator lives, and its submissions."""

from __future__ import annotations

import contextlib
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from google.protobuf.message import Message

from farm.coordinator import Coordinator
from farm.domain.batch import Batch, BatchState
from farm.domain.clip import ENDED
from farm.domain.errors import BadDecision, Fenced
from farm.domain.ledger import RequestRow
from farm.domain.quote import Quote
from farm.plan.economics import seconds_per_frame
from farm.plan.quote import Rates, ask_of, quote
from farm.plan.tariff import Tariff
from farm.sim.card import SimCard
from farm.sim.gateway import SimGateway
from farm.sim.ledger import failing
from farm.sim.oracle import books_problems, usage_problems, waste_problems
from farm.sim.outcome import Outcome, Submission
from farm.sim.storm import Storm
from farm.sim.timeline import Timeline
from farm.sim.wire import Wire
from farm.sim.world import Record, World
from farm.store import open_ledger, open_store
from heliostat.v1 import batch_service_pb2 as batch_pb
from heliostat.v1 import fleet_service_pb2 as fleet_pb

if TYPE_CHECKING:
    from farm.sim.simulation import Simulation

TICK_SECONDS: Final = 1.0
COORDINATOR_SECONDS: Final = (1.0, 8.0)
"""From a coordinator's death to the next one's first exchange."""
LEFT_SECONDS: Final = 10.0
"""For so long a coordinator that was replaced may still be reached."""
STEP_SECONDS: Final = 60.0
"""Virtual time between two looks at whether all is done."""
PERSON_SECONDS: Final = 120.0
"""So often somebody looks at what waits for a person."""
STAGE_CLIPS: Final = 2_000


class SimHead:
    """The head of one simulation: its store, whichever coordinator lives, its submissions."""

    def __init__(self, plan: Simulation) -> None:
        self._plan = plan
        self.world = World(
            seed=plan.seed,
            timeline=Timeline(plan.wall_start),
            faults=plan.faults,
            model=plan.fleet.model,
            pace=plan.pace,
            record=Record(keeps_spans=plan.keeps_spans),
            quiet_after=plan.quiet_after,
        )
        self._sql = open_store(plan.ledger, durable=False)
        self._store = failing(self._sql, self.world)
        self._names = {f"b{i:04d}": each.name for i, each in enumerate(plan.submissions, 1)}
        clips = {
            f"{batch_id}-{clip.ordinal:05d}": clip
            for batch_id, each in zip(self._names, plan.submissions, strict=True)
            for clip in each.clips
        }
        self._clips = len(clips)
        self._open = dict.fromkeys(self._names)
        self._epoch = 0
        self._stuck = ""
        self._usage_problems: list[str] = []
        """Of the ledger, as each coordinator found it."""
        self._submitted: set[str] = set()
        self._ended_at: dict[str, float] = {}
        self._quotes: dict[str, tuple[float, Quote]] = {}
        self._gateway = SimGateway(self.world, self._store, clips)
        self._reader = open_ledger(plan.ledger)
        self._cards = [
            SimCard(card_id, node_id, i % plan.fleet.cards_per_node, card)
            for i, (card_id, node_id, card) in enumerate(plan.fleet.each())
        ]
        self._storm = Storm(self.world, Wire(self.world, self._gateway), self, self._cards)

    def close(self) -> None:
        """Close the ledger's files."""
        self._reader.close()
        self._sql.close()

    def run(self) -> Outcome:
        """Simulate until every clip has ended, or time is up."""
        began = time.perf_counter()
        timeline, plan = self.world.timeline, self._plan
        self._start_coordinator()
        for project, weight in plan.weights.items():
            self._decide(fleet_pb.SetProjectRequest(name=project, weight=weight))
        for batch_id, each in zip(self._names, plan.submissions, strict=True):
            timeline.at(each.at, lambda b=batch_id, s=each: self._submit(b, s))  # type: ignore[misc]
        self._storm.begin(load_seconds=0.0 if plan.warm else plan.pace.load)
        timeline.after(TICK_SECONDS, self._tick)
        if plan.attended:
            timeline.after(PERSON_SECONDS, self._attend)
        seconds = 0.0
        while seconds < plan.seconds_max and len(self._ended_at) < len(self._names):
            if self._stuck:
                break
            seconds = min(seconds + STEP_SECONDS, plan.seconds_max)
            timeline.run(seconds)
            counts = self._reader.clip_counts()
            ended = sum(counts[state] for state in ENDED)
            plan.on_progress(timeline.monotonic(), ended, self._clips)
        finished = len(self._ended_at) == len(self._names)
        counts = self._reader.clip_counts()
        return Outcome(
            finished=finished,
            stuck=self._stuck,
            finish_seconds=max(self._ended_at.values()) if finished else seconds,
            states={state: n for state, n in counts.items() if n},
            batches=self._names,
            finish_by_batch=self._ended_at,
            record=self.world.record,
            cards=self._cards,
            epoch=self._epoch,
            problems=self._problems() if finished else [],
            spent={i: self._sql.batch(i).spent for i in self._names if i in self._submitted},
            quotes=self._quotes,
            wall_seconds=time.perf_counter() - began,
            events=timeline.happened,
        )

    def _problems(self) -> list[str]:
        sizes = [len(each.clips) for each in self._plan.submissions]
        problems = books_problems(
            self._reader, dict(zip(self._names, sizes, strict=True)), self._sql.totals()
        )
        problems += self._usage_problems
        problems += usage_problems(self._sql.totals(), usage := self._sql.usage()[0].usage)
        problems += waste_problems(usage, sum(card.frames_open for card in self._sql.cards()))
        coordinator = self._gateway.coordinator
        if coordinator is not None and coordinator.books.clips.leases:
            problems.append(f"leases in memory: {sorted(coordinator.books.clips.leases)}")
        return problems

    # -- the coordinator -------------------------------------------------------------------

    def _start_coordinator(self) -> None:
        coordinator = Coordinator(
            self._store,
            self.world.timeline,
            self._plan.policy,
            partial(seconds_per_frame, model=self.world.model),
        )
        self._gateway.coordinator, self._epoch = coordinator, coordinator.epoch
        self._usage_problems += usage_problems(self._sql.totals(), self._sql.usage()[0].usage)

    def restart_coordinator(self) -> None:
        """See `farm.sim.storm.Head`. The old one does not know that it is over."""
        gateway, timeline = self._gateway, self.world.timeline
        if gateway.coordinator is None:
            return
        old, gateway.coordinator = gateway.coordinator, None
        away = self.world.dice("restart").uniform(*COORDINATOR_SECONDS)

        def start() -> None:
            self._start_coordinator()
            gateway.left = old
            timeline.after(LEFT_SECONDS, leave)

        def leave() -> None:
            if gateway.left is old:
                gateway.left = None

        timeline.after(away, start)

    def lost(self, card_id: str, incarnation: str) -> None:
        """See `farm.sim.storm.Head`."""
        self._gateway.lost(card_id, incarnation)

    def _tick(self) -> None:
        world, coordinator = self.world, self._gateway.coordinator
        if self._gateway.left is not None:
            self._tick_left(self._gateway.left)
        if coordinator is not None:
            try:
                coordinator.tick()
            except OSError:
                world.record.counts["commits failed"] += 1
            if coordinator.books.clips.queued:
                world.record.waiting_seconds += TICK_SECONDS
                world.record.idle_seconds += world.record.idle * TICK_SECONDS
            self._note_ended(coordinator)
            self._look_stuck(coordinator)
        world.timeline.after(TICK_SECONDS, self._tick)

    def _attend(self) -> None:
        """What a person does now and then: resume what was paused, let what was held go on."""
        coordinator = self._gateway.coordinator
        for entry in list(coordinator.books.clips.entries()) if coordinator else ():
            batch_id = entry.batch.batch_id
            if entry.batch.state is BatchState.PAUSED:
                self._decide(batch_pb.ResumeRequest(batch_id=batch_id))
            elif entry.batch.first_look and entry.open > entry.queued + entry.held:
                self._decide(batch_pb.LookRequest(batch_id=batch_id, approve=True))
        self.world.timeline.after(PERSON_SECONDS, self._attend)

    def _decide(self, message: Message) -> None:
        coordinator, counts = self._gateway.coordinator, self.world.record.counts
        if coordinator is None:
            return
        counts["decisions of people"] += 1
        number = counts["decisions of people"]
        request = RequestRow(f"person-{number}", "simulated", "")
        with contextlib.suppress(OSError, BadDecision):  # they see it, and ask again later
            coordinator.decide(message.DESCRIPTOR.name, message.SerializeToString(), request)

    def _look_stuck(self, coordinator: Coordinator) -> None:
        """See whether only a person could help, and there is none."""
        books = coordinator.books.clips
        if self._plan.attended or len(self._submitted) < len(self._names) or books.leases:
            return
        waiting = [entry for entry in books.entries() if entry.batch.state is not BatchState.PAUSED]
        if not waiting:
            self._stuck = "; ".join(
                f"batch {entry.batch.name} is paused: {entry.batch.reason}"
                for entry in books.entries()
            )

    def _tick_left(self, left: Coordinator) -> None:
        try:
            left.tick()
        except (OSError, Fenced):
            self.world.record.counts["writes fenced"] += 1

    def _note_ended(self, coordinator: Coordinator) -> None:
        """Batches of which no clip is open any more."""
        for batch_id in list(self._open):
            if batch_id in self._submitted and coordinator.books.clips.batch(batch_id) is None:
                del self._open[batch_id]
                self._ended_at[batch_id] = self.world.timeline.monotonic()

    def _submit(self, batch_id: str, submission: Submission) -> None:
        """As a gateway does it; again in a second while no coordinator is up."""
        coordinator = self._gateway.coordinator
        if coordinator is None:
            self.world.timeline.after(1.0, lambda: self._submit(batch_id, submission))
            return
        batch = Batch(
            batch_id=batch_id,
            name=submission.name,
            project=submission.project,
            priority=submission.priority,
            created_at=self.world.timeline.now(),
            deadline=self._unix(submission.deadline),
            first_look=submission.first_look,
        )
        coordinator.begin(batch)
        for start in range(0, len(submission.clips), STAGE_CLIPS):
            coordinator.stage(batch_id, submission.clips[start : start + STAGE_CLIPS])
        request = RequestRow(f"request-{batch_id}", "simulated", batch_id, len(submission.clips))
        promise = self._quoted(coordinator, batch, submission) if self._plan.quotes else None
        coordinator.publish(batch_id, request, promise)
        self._submitted.add(batch_id)

    def _quoted(self, coordinator: Coordinator, batch: Batch, submission: Submission) -> Quote:
        rates = Rates(tariff=Tariff(), cost=coordinator.books.cost, model=self.world.model)
        promise = quote(ask_of(batch, submission.clips), coordinator.picture(), rates)
        self._quotes[batch.batch_id] = self.world.timeline.monotonic(), promise
        return promise

    def _unix(self, seconds: float | None) -> float | None:
        """A virtual second as the wall clock will show it."""
        timeline = self.world.timeline
        return None if seconds is None else timeline.now() + seconds - timeline.monotonic()
