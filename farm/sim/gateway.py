"""The gateway's part of an exchange: groups of them to the coordinator, orders and grants back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from farm.coordinator import Coordinator
from farm.domain.clip import CHUNK_FRAMES
from farm.domain.errors import FarmError, Fenced
from farm.domain.spec import NewClip
from farm.ports import Store
from farm.sim.wire import Answer
from farm.sim.world import World
from heliostat.v1 import node_service_pb2 as node_pb

UPLOAD_AGAIN = node_pb.Verdict.OUTCOME_UPLOAD_AGAIN
STALE = node_pb.Verdict.OUTCOME_STALE
GROUP_MAX: Final = 256

_Waiting = tuple[node_pb.ExchangeRequest, Answer]


class SimGateway:
    """Keeps nothing but what waits. `coordinator` is None while none is up.

    A coordinator that was replaced may still be reached for a while (`left`): the epoch has to
    keep it from writing.
    """

    def __init__(self, world: World, store: Store, clips: Mapping[str, NewClip]) -> None:
        self.coordinator: Coordinator | None = None
        self.left: Coordinator | None = None
        self._world = world
        self._store = store
        self._clips = clips
        self._waiting: list[_Waiting] = []
        self._is_planned = False

    def arrive(self, request: node_pb.ExchangeRequest, answer: Answer) -> None:
        """See `farm.sim.wire.Gateway`."""
        self._waiting.append((request, answer))
        if not self._is_planned:
            self._is_planned = True
            self._world.timeline.after(self._world.pace.gateway, self._flush)

    def lost(self, card_id: str, incarnation: str) -> None:
        """Ray reports an agent's death; without a coordinator nobody hears it."""
        if self.coordinator is not None:
            try:
                self.coordinator.lost(card_id, incarnation, "its agent died")
            except OSError:
                self._world.record.counts["commits failed"] += 1

    def _flush(self) -> None:
        self._is_planned = False
        while self._waiting:
            group, self._waiting = self._waiting[:GROUP_MAX], self._waiting[GROUP_MAX:]
            self._send(group)

    def _send(self, group: Sequence[_Waiting]) -> None:
        coordinator = self.coordinator
        if self.left is not None and self._world.dice("left").random() < 0.3:
            coordinator = self.left
        if coordinator is None:
            for _, answer in group:
                answer(None)
            return
        asked = [self._verified(request) for request, _ in group]
        try:
            responses = coordinator.exchange([request for request, _ in asked])
        except (OSError, FarmError) as error:
            self._failed(group, coordinator, error)
            return
        for (request, answer), (_, refused), response in zip(group, asked, responses, strict=True):
            self._complete(request, response, refused)
            answer(response)

    def _failed(
        self, group: Sequence[_Waiting], coordinator: Coordinator, error: Exception
    ) -> None:
        """As the gateway does it: each alone, so that one request does not starve the others."""
        fenced = isinstance(error, Fenced) and coordinator is self.left
        if not fenced and not isinstance(error, OSError):
            raise error  # a coordinator that contradicts its own ledger
        self._world.record.counts["writes fenced" if fenced else "commits failed"] += 1
        for waiting in group:
            if len(group) > 1:
                self._send([waiting])
            else:
                waiting[1](None)

    def _verified(
        self, request: node_pb.ExchangeRequest
    ) -> tuple[node_pb.ExchangeRequest, list[int]]:
        """The request without the reports whose object is not found, and their numbers."""
        share = self._world.faults.upload_again
        if share <= 0.0:
            return request, []
        strikes = self._world.strikes
        refused = [
            entry.sequence
            for entry in request.outbox
            if entry.WhichOneof("what") in ("chunk", "take") and strikes(share, "upload again")
        ]
        if not refused:
            return request, []
        asked = node_pb.ExchangeRequest()
        asked.CopyFrom(request)
        kept = [entry for entry in request.outbox if entry.sequence not in refused]
        del asked.outbox[:]
        asked.outbox.extend(kept)
        return asked, refused

    def _complete(
        self,
        request: node_pb.ExchangeRequest,
        response: node_pb.ExchangeResponse,
        refused: Sequence[int],
    ) -> None:
        """Orders for what is new to the card, grants for what it may upload, refusals."""
        held = {(attempt.clip_id, attempt.attempt) for attempt in request.held}
        wanted = set()
        for lease in response.wanted:
            key = lease.clip_id, lease.attempt
            wanted.add(key)
            if key not in held:
                self._order(lease)
        for intent in request.intents:
            if (intent.clip_id, intent.attempt) in wanted:
                response.grants.add(
                    clip_id=intent.clip_id, attempt=intent.attempt, artifact=intent.artifact
                )
        for entry in request.outbox if refused else ():
            if entry.sequence in refused:
                known = (entry.clip_id, entry.attempt) in wanted
                outcome = UPLOAD_AGAIN if known else STALE
                response.verdicts.add(sequence=entry.sequence, outcome=outcome)

    def _order(self, lease: node_pb.Lease) -> None:
        """What to render, and from which chunk on, as the ledger has it."""
        clip, new = self._store.clip(lease.clip_id), self._clips[lease.clip_id]
        assert clip is not None
        spec = lease.order.spec
        spec.frames, spec.height, spec.width = new.spec.frames, new.spec.height, new.spec.width
        spec.steps.extend(new.spec.steps)
        lease.order.batch_id, lease.order.name = clip.batch_id, new.name
        for chunk in range(clip.chunks_done):
            lease.order.recorded.add(chunk=chunk, frames=CHUNK_FRAMES)
