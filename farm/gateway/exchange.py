"""One exchange of a card: verify what it reports, ask the coordinator, add orders and grants.

The coordinator hears only of objects that are in the store. A report whose object is not there is
answered here; what the store cannot prove in time is asked for again at the next exchange, for an
exchange is a heartbeat and must not wait for long.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict

from google.protobuf.message import DecodeError

from farm.coordinator.artifacts import EXPECTED, KINDS, artifacts_of, check_shape
from farm.domain.errors import FarmError
from farm.failpoints import reach
from farm.gateway.coalesce import Coalescer
from farm.gateway.coordinator_link import CoordinatorLink, GatewayBusy
from farm.gateway.grpc_errors import BadRequest
from farm.gateway.keys import Place, Places
from farm.gateway.metrics import Meters
from farm.gateway.orders import AttemptId, make_grants, read_orders
from farm.gateway.settings import Limits
from farm.gateway.threads import Threads
from farm.gateway.verify import Verifier
from farm.ports import Ledger, ObjectStore
from heliostat.v1 import node_service_pb2 as node_pb

_log = logging.getLogger(__name__)

RECORDED = node_pb.Verdict.OUTCOME_RECORDED
STALE = node_pb.Verdict.OUTCOME_STALE
UPLOAD_AGAIN = node_pb.Verdict.OUTCOME_UPLOAD_AGAIN
LATER = node_pb.Verdict.OUTCOME_LATER

COUNTED_MAX = 20_000
"""Recorded reports that are remembered, so that one that comes twice is counted once."""


class Exchanger:
    """Serves the exchanges of all cards. It keeps nothing that it could not read anew."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        objects: ObjectStore,
        link: CoordinatorLink,
        threads: Threads,
        limits: Limits,
        meters: Meters,
    ) -> None:
        self._ledger = ledger
        self._objects = objects
        self._threads = threads
        self._limits = limits
        self._meters = meters
        self._places = Places(ledger, threads)
        self._verifier = Verifier(objects, limits, meters.verified)
        self._coordinator = Coalescer(link, limits, meters.group_size.observe)
        self._counted: OrderedDict[tuple[AttemptId, str, int], None] = OrderedDict()
        self._under_way = 0

    async def exchange(self, data: bytes) -> bytes:
        """A serialized ExchangeRequest to its ExchangeResponse.

        Raises `BadRequest`, and `GatewayBusy` or `CoordinatorUnavailable` after which the same is
        to be sent again.
        """
        started, outcome = time.perf_counter(), "error"
        if self._under_way >= self._limits.exchanges_max:
            self._meters.exchanges.labels("busy").inc()
            raise GatewayBusy(f"{self._under_way} exchanges are under way (exchanges_max)")
        self._under_way += 1
        try:
            response = await self._exchange(_parsed(data, self._limits.exchange_bytes_max))
            outcome = "ok"
            return response.SerializeToString()
        except FarmError as error:
            outcome = error.reason.lower()
            raise
        finally:
            self._under_way -= 1
            self._meters.exchanges.labels(outcome).inc()
            self._meters.exchange_seconds.observe(time.perf_counter() - started)

    async def _exchange(self, request: node_pb.ExchangeRequest) -> node_pb.ExchangeResponse:
        reports = {entry.sequence: entry for entry in request.outbox}
        refused = await self._verify(request)
        if reports:
            reach("gateway.exchange.verified")
        kept = [entry for entry in request.outbox if entry.sequence not in refused]
        asked = node_pb.ExchangeRequest()
        asked.CopyFrom(request)
        del asked.outbox[:], asked.intents[:]
        asked.outbox.extend(kept)
        data = await self._coordinator.call(asked.SerializeToString())
        if reports:
            reach("gateway.exchange.answered")
        response = node_pb.ExchangeResponse.FromString(data)
        wanted = {(lease.clip_id, lease.attempt): lease for lease in response.wanted}
        for verdict in response.verdicts:
            if verdict.outcome == RECORDED and verdict.sequence in reports:
                self._count(reports[verdict.sequence])
        for sequence, verdict in refused.items():
            entry = reports[sequence]
            if verdict.outcome == UPLOAD_AGAIN and (entry.clip_id, entry.attempt) not in wanted:
                verdict.outcome = STALE  # nobody would give it a URL to upload to
            response.verdicts.append(verdict)
        response.verdicts.sort(key=lambda verdict: verdict.sequence)
        await self._enrich(request, response, wanted)
        return response

    async def _verify(self, request: node_pb.ExchangeRequest) -> dict[int, node_pb.Verdict]:
        """Verdicts on the reports that must not go on, by sequence; sets the keys of the others."""
        reports = [entry for entry in request.outbox if entry.WhichOneof("what") in EXPECTED]
        if not reports:
            return {}
        places = await self._places.of({entry.clip_id for entry in reports})
        verdicts = await asyncio.gather(
            *(self._verify_report(entry, places.get(entry.clip_id)) for entry in reports)
        )
        return {verdict.sequence: verdict for verdict in verdicts if verdict is not None}

    async def _verify_report(
        self, entry: node_pb.OutboxEntry, place: Place | None
    ) -> node_pb.Verdict | None:
        """None when every object of the report is in the store."""
        if place is None:
            return _verdict(entry, STALE, f"there is no clip {entry.clip_id}")
        artifacts = list(artifacts_of(entry))
        try:
            check_shape(entry)
            for artifact in artifacts:
                artifact.key = place.key(entry.attempt, artifact)
        except ValueError as error:
            return _verdict(entry, STALE, f"the report cannot be right: {error}")
        results = await asyncio.gather(*(self._verifier.verify(a) for a in artifacts))
        bad = [(found, reason) for found, reason in results if reason]
        if not bad:
            return None
        again = any(found.is_at_fault for found, _ in bad)
        text = "; ".join(reason for _, reason in bad)
        _log.warning("clip %s, attempt %d: %s", entry.clip_id, entry.attempt, text)
        return _verdict(entry, UPLOAD_AGAIN if again else LATER, text)

    async def _enrich(
        self,
        request: node_pb.ExchangeRequest,
        response: node_pb.ExchangeResponse,
        wanted: dict[AttemptId, node_pb.Lease],
    ) -> None:
        """Add orders for what the card does not hold yet, and grants for what it has to upload."""
        held = {(attempt.clip_id, attempt.attempt) for attempt in request.held}
        new = [attempt for attempt in wanted if attempt not in held]
        intents = [i for i in request.intents if (i.clip_id, i.attempt) in wanted]
        if not new and not intents:
            return
        new_clips = [clip_id for clip_id, _ in new]
        places = await self._places.of([*new_clips, *(intent.clip_id for intent in intents)])

        def read() -> tuple[dict[str, node_pb.ClipOrder], list[node_pb.Grant]]:
            orders = read_orders(self._ledger, self._objects, places, new_clips) if new else {}
            return orders, make_grants(self._objects, places, intents, wanted)

        orders, grants = await self._threads.run(read)
        if grants:
            reach("gateway.exchange.granted")
        response.grants.extend(grants)
        for grant in grants:
            self._meters.grants.labels(KINDS[grant.artifact.kind]).inc()
        for clip_id, attempt in new:
            if clip_id in orders:
                wanted[clip_id, attempt].order.CopyFrom(orders[clip_id])
            else:
                # Without an order nothing can be rendered; its lease ends by itself.
                _log.error("clip %s is leased but not in the ledger", clip_id)

    def _count(self, entry: node_pb.OutboxEntry) -> None:
        """Count a recorded report once, though its card may have to send it twice."""
        what = entry.WhichOneof("what") or ""
        identity = ((entry.clip_id, entry.attempt), what, entry.chunk.chunk)
        if what not in ("chunk", "take") or identity in self._counted:
            return
        self._counted[identity] = None
        while len(self._counted) > COUNTED_MAX:
            self._counted.popitem(last=False)
        if what == "chunk":
            self._meters.chunk_render_seconds.observe(entry.chunk.render_seconds)
            self._meters.chunk_encode_seconds.observe(entry.chunk.encode_seconds)
        else:
            self._meters.quality.count(entry.take)
        for artifact in artifacts_of(entry):
            kind = KINDS[artifact.kind]
            self._meters.recorded_bytes.labels(kind).inc(artifact.size_bytes)

    def close(self) -> None:
        """Verify nothing more."""
        self._verifier.close()


def _verdict(
    entry: node_pb.OutboxEntry, outcome: node_pb.Verdict.Outcome.ValueType, reason: str
) -> node_pb.Verdict:
    return node_pb.Verdict(sequence=entry.sequence, outcome=outcome, reason=reason)


def _parsed(data: bytes, bytes_max: int) -> node_pb.ExchangeRequest:
    if len(data) > bytes_max:
        raise BadRequest(f"the exchange has {len(data)} bytes: at most {bytes_max}")
    try:
        request = node_pb.ExchangeRequest.FromString(data)
    except DecodeError as error:
        raise BadRequest("these bytes are no ExchangeRequest") from error
    if not request.card.card_id or not request.card.incarnation:
        raise BadRequest("an exchange names its card and the card's incarnation")
    return request
