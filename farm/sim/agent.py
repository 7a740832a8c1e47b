"""A simulated agent: the real one's loop (`node_agent/agent.py`) without its files and processes.

It tells the farm everything that it holds and everything that waits for an answer, does what is
wanted, and speaks when something happened or when it is asked to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from farm.domain.clip import CHUNK_FRAMES
from farm.sim.attempt import Attempt, AttemptKey
from farm.sim.card import SimCard
from farm.sim.child import SimChild
from farm.sim.timeline import Call
from farm.sim.wire import Wire
from farm.sim.world import World
from heliostat.v1 import node_service_pb2 as node_pb
from heliostat.v1 import types_pb2 as types_pb

PREFETCH: Final = 1
LANES: Final = 1
FINISHING_MAX: Final = 4
LATER_SECONDS: Final = 0.5
LINK_DOWN_SECONDS_MAX: Final = 2.0
LINK_DOWN_SECONDS_FIRST: Final = 0.05

_Reports = dict[int, tuple[node_pb.OutboxEntry, Attempt, Call]]
"""Sequence → what waits for its verdict, whose it is, and what follows when it is recorded."""


class SimAgent:
    """One incarnation of a card's agent."""

    def __init__(self, card: SimCard, world: World, wire: Wire, *, load_seconds: float) -> None:
        self.incarnation = card.next_incarnation()
        self.dead = False
        self._card = card
        self._world = world
        self._wire = wire
        self._said = node_pb.ExchangeRequest(card=self._about(), telemetry=types_pb.CardTelemetry())
        """What every exchange begins with."""
        self._frozen_until = 0.0
        self._attempts: dict[AttemptKey, Attempt] = {}
        self._outbox: _Reports = {}
        self._intents: dict[tuple[AttemptKey, int, int], tuple[node_pb.UploadIntent, Call]] = {}
        self._sequence = 0
        self._turn = self._examining = 0
        self._speaking = self._waiting = self._changed = False
        self._pause = LINK_DOWN_SECONDS_FIRST
        self._child = SimChild(card, world, self)
        self._child.load(load_seconds)
        self._speak()

    # -- time ------------------------------------------------------------------------------

    def after(self, seconds: float, call: Call) -> None:
        """See `farm.sim.child.Holder`. While the agent is frozen its calls wait."""
        self._world.timeline.after(seconds, lambda: self._awake(call))

    def _awake(self, call: Call) -> None:
        if self.dead:
            return
        if self._world.timeline.monotonic() < self._frozen_until:
            self._world.timeline.at(self._frozen_until, lambda: self._awake(call))
        else:
            call()

    def freeze(self, seconds: float) -> None:
        """Stand still (SIGSTOP): nothing is said and nothing rendered meanwhile."""
        self._frozen_until = self._world.timeline.monotonic() + seconds

    def die(self) -> None:
        """kill -9."""
        self.dead = True
        self._child.die()

    # -- the exchange ----------------------------------------------------------------------

    def change(self) -> None:
        """There is something to say: at once, or when the exchange under way is over."""
        self._changed = True
        if self._waiting:
            self._speak()

    def _speak(self) -> None:
        self._turn += 1
        self._speaking, self._waiting, self._changed = True, False, False
        turn = self._turn
        self._wire.send(self._request(), lambda r: self._awake(lambda: self._hear(turn, r)))

    def _request(self) -> node_pb.ExchangeRequest:
        attempts = self._attempts.values()
        finishing = min(FINISHING_MAX, sum(attempt.finishing for attempt in attempts))
        said, request = self._said, node_pb.ExchangeRequest()
        said.card.condition = "ready" if self._child.ready else "loading"
        said.capacity = LANES + PREFETCH + finishing if self._child.ready else 0
        request.CopyFrom(said)
        for attempt in attempts:
            request.held.add(
                clip_id=attempt.key[0],
                attempt=attempt.key[1],
                started=attempt.started,
                chunks_made=attempt.next_chunk,
            )
        request.outbox.extend(entry for entry, _, _ in self._outbox.values())
        request.intents.extend(intent for intent, _ in self._intents.values())
        return request

    def _about(self) -> node_pb.CardReport:
        card = self._card
        return node_pb.CardReport(
            card_id=card.card_id,
            node_id=card.node_id,
            incarnation=self.incarnation,
            hostname=card.node_id,
            slot=card.slot,
            device=card.type.name,
            vram_bytes=card.type.vram_gb << 30,
            renderer="simulated",
            model_digest="simulated",
            stack_id="simulated",
            card_type=card.type.name,
            lanes=LANES,
            power_cap_watts=card.type.watts,
            profile="exact",
            profiles=("exact",),
        )

    def _hear(self, turn: int, response: node_pb.ExchangeResponse | None) -> None:
        if turn != self._turn or not self._speaking:
            return
        self._speaking = False
        if response is None:
            share = self._world.dice("pause").uniform(0.5, 1.0)
            self.after(share * self._pause, lambda: self._speak_again(turn))
            self._pause = min(LINK_DOWN_SECONDS_MAX, 2 * self._pause)
            return
        self._pause = LINK_DOWN_SECONDS_FIRST
        later = self._settle(response.verdicts)
        for grant in response.grants:
            artifact = grant.artifact
            key = (grant.clip_id, grant.attempt), artifact.kind, artifact.chunk
            if (intent := self._intents.pop(key, None)) is not None:
                intent[1]()
        self._reconcile(response.wanted)
        if response.examine and response.examine != self._examining:
            self._examining = response.examine
            self.after(self._world.pace.examine, lambda: self._examined(response.examine))
        self._waiting = True
        if self._changed:
            self._speak()
        else:
            seconds = LATER_SECONDS if later else float(response.next_exchange_seconds or 10)
            self.after(seconds, lambda: self._speak_again(turn))

    def _examined(self, number: int) -> None:
        """A card that was found sick is well: what made it fail was chance."""
        if number == self._examining:
            told = node_pb.Examination(number=number, passed=True, detail="simulated")
            self._said.card.examination.CopyFrom(told)
            self.change()

    def _speak_again(self, turn: int) -> None:
        if turn == self._turn and not self._speaking:
            self._speak()

    def _reconcile(self, wanted: Iterable[node_pb.Lease]) -> None:
        """Hold exactly what is wanted."""
        leases = {(lease.clip_id, lease.attempt): lease for lease in wanted}
        for key in [key for key in self._attempts if key not in leases]:
            self._drop(self._attempts[key])
        for key, lease in leases.items():
            held = self._attempts.get(key)
            if held is None and lease.HasField("order"):
                self._begin(Attempt.of(lease))
            elif held is not None and lease.yield_asked and not held.yield_asked:
                self._child.give_up(held)

    # -- attempts --------------------------------------------------------------------------

    def _begin(self, attempt: Attempt) -> None:
        self._attempts[attempt.key] = attempt
        seconds = self._world.pace.fetch if attempt.next_chunk else 0.0
        self.after(seconds, lambda: self._fetched(attempt))

    def _fetched(self, attempt: Attempt) -> None:
        if not self._holds(attempt):
            return
        if attempt.next_chunk >= attempt.chunks or attempt.is_to_yield:
            attempt.yielded = attempt.is_to_yield
            self.rendering_ended(attempt)
        else:
            self._child.start(attempt)

    def _holds(self, attempt: Attempt) -> bool:
        return self._attempts.get(attempt.key) is attempt

    def _drop(self, attempt: Attempt) -> None:
        """Its work is not wanted any more, or the farm knows how it ended."""
        if not self._holds(attempt):
            return
        del self._attempts[attempt.key]
        self._outbox = {n: each for n, each in self._outbox.items() if each[1] is not attempt}
        self._intents = {k: each for k, each in self._intents.items() if k[0] != attempt.key}
        self._child.drop(attempt)
        self.change()

    def chunk_made(self, attempt: Attempt, chunk: int, seconds: float) -> None:
        """See `farm.sim.child.Holder`."""
        telemetry = self._said.telemetry
        telemetry.frames_rendered += CHUNK_FRAMES
        telemetry.chunks_rendered += 1
        telemetry.render_seconds += seconds
        attempt.delivering += 1
        entry = attempt.chunk_entry(chunk, seconds, seconds * self._card.type.watts)

        def recorded() -> None:
            attempt.delivering -= 1
            self._child.recorded(attempt, chunk)
            self._conclude(attempt)

        self._deliver(attempt, entry, entry.chunk.artifacts[0], recorded)

    def rendering_ended(self, attempt: Attempt) -> None:
        """See `farm.sim.child.Holder`."""
        if attempt.failure is None:
            attempt.finishing = True
            self.change()
            if not attempt.yielded:
                self.after(self._world.pace.assemble, lambda: self._deliver_take(attempt))
        self._conclude(attempt)

    def _conclude(self, attempt: Attempt) -> None:
        """Report a failure or a yield, once every chunk that was made is recorded."""
        if attempt.delivering or not self._holds(attempt):
            return
        entry = attempt.entry()
        if attempt.failure is not None:
            entry.failure.CopyFrom(attempt.failure)
        elif attempt.yielded:
            entry.yielded.SetInParent()
        else:
            return
        self._report(attempt, entry, lambda: self._drop(attempt))

    def _deliver_take(self, attempt: Attempt) -> None:
        if self._holds(attempt):
            entry = attempt.take_entry()
            self._deliver(attempt, entry, entry.take.video, lambda: self._drop(attempt))

    # -- deliveries ------------------------------------------------------------------------

    def _deliver(
        self, attempt: Attempt, entry: node_pb.OutboxEntry, artifact: types_pb.Artifact, then: Call
    ) -> None:
        """Ask for a URL, upload, report; one object stands for all of a report."""
        if not self._holds(attempt):
            return
        upload = self._world.dice("upload").uniform(0.7, 1.3) * self._world.pace.upload
        intent = node_pb.UploadIntent(
            clip_id=attempt.key[0], attempt=attempt.key[1], artifact=artifact
        )

        def granted() -> None:
            self.after(upload, lambda: self._report(attempt, entry, then))

        self._intents[attempt.key, artifact.kind, artifact.chunk] = intent, granted
        self.change()

    def _report(self, attempt: Attempt, entry: node_pb.OutboxEntry, then: Call) -> None:
        if self._holds(attempt):
            self._sequence += 1
            entry.sequence = self._sequence
            self._outbox[self._sequence] = entry, attempt, then
            self.change()

    def _settle(self, verdicts: Iterable[node_pb.Verdict]) -> bool:
        """Follow the verdicts. True when something is to be reported again soon."""
        later = False
        for verdict in verdicts:
            if verdict.outcome == node_pb.Verdict.OUTCOME_LATER:
                later = True
                continue
            entry, attempt, then = self._outbox.pop(verdict.sequence, _NOTHING)
            if attempt is None:
                continue
            if verdict.outcome == node_pb.Verdict.OUTCOME_RECORDED:
                then()
            elif verdict.outcome == node_pb.Verdict.OUTCOME_UPLOAD_AGAIN:
                what = entry.chunk.artifacts[0] if entry.HasField("chunk") else entry.take.video
                self._deliver(attempt, entry, what, then)
            else:
                self._drop(attempt)
        return later


_NOTHING: Final[tuple[node_pb.OutboxEntry, None, Callable[[], None]]] = (
    node_pb.OutboxEntry(),
    None,
    lambda: None,
)
