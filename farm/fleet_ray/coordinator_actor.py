"""The coordinator in a Ray process of its own: restarted for ever, on the head alone.

The plain `Coordinator` is not thread-safe and every call of it may wait for a disk, so all calls
run in one thread, in the order they came; the event loop stays free to place agents.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from farm.coordinator import Coordinator
from farm.domain.batch import Batch
from farm.domain.clip import ClipState
from farm.domain.errors import FarmError, Fenced
from farm.domain.ledger import Released, RequestRow
from farm.domain.notices import Notice, NoticeOutcome
from farm.domain.quote import Quote
from farm.domain.spec import NewClip
from farm.fleet_ray.ledger import open_own
from farm.fleet_ray.model_shape import model_shape
from farm.fleet_ray.placement import Placement
from farm.fleet_ray.settings import HeadSettings
from farm.plan.economics import seconds_per_frame
from farm.plan.picture import Picture
from heliostat.logs.setup import add_fields, configure
from heliostat.traces import spans_of
from heliostat.v1 import fleet_service_pb2 as fleet_pb
from heliostat.v1 import node_service_pb2 as node_pb
from heliostat.v1 import types_pb2 as types_pb

logger = logging.getLogger(__name__)

TICK_SECONDS = 1.0
FENCED_EXIT = 70

T = TypeVar("T")


class SystemClock:
    """The machine's clocks."""

    def now(self) -> float:
        """Unix seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that never go backwards."""
        return time.monotonic()


class CoordinatorActor:
    """Runs in Ray as `coordinator`; what crosses this border are bytes and plain records."""

    def __init__(self, data_dir: str) -> None:
        settings = HeadSettings.load(Path(data_dir))
        configure("coordinator", file=settings.log_file("coordinator"), level=settings.log_level)
        shape = model_shape(settings.model) if settings.renderer == "helios" else None
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self._coordinator = Coordinator(
            open_own(settings),
            SystemClock(),
            h100_seconds_per_frame=partial(
                seconds_per_frame, model=shape, baseline=settings.compared_with
            ),
            tariff=settings.tariff,
        )
        add_fields(epoch=self._coordinator.epoch)
        self._coordinator.trace(spans_of("coordinator"))
        logger.info("coordinator of epoch %d", self._coordinator.epoch)
        gc.freeze()  # as in the gateway
        loop = asyncio.get_running_loop()
        self._placement = Placement(settings, self._fleet, self._lost)
        self._background = (
            loop.create_task(self._tick_for_ever()),
            loop.create_task(self._placement.run()),
        )

    async def exchange(self, requests: Sequence[bytes]) -> list[bytes]:
        """See `CoordinatorLink.exchange`."""
        return await self._call(lambda: self._exchange(requests))

    def _exchange(self, requests: Sequence[bytes]) -> list[bytes]:
        parsed = [node_pb.ExchangeRequest.FromString(raw) for raw in requests]
        return [answer.SerializeToString() for answer in self._coordinator.exchange(parsed)]

    async def begin(self, batch: Batch) -> None:
        """See `CoordinatorLink.begin`."""
        await self._call(lambda: self._coordinator.begin(batch))

    async def stage(self, batch_id: str, clips: Sequence[NewClip]) -> None:
        """See `CoordinatorLink.stage`."""
        await self._call(lambda: self._coordinator.stage(batch_id, clips))

    async def stage_dependencies(self, batch_id: str, pairs: Sequence[tuple[int, int]]) -> None:
        """See `CoordinatorLink.stage_dependencies`."""
        await self._call(lambda: self._coordinator.stage_dependencies(batch_id, pairs))

    async def discard(self, batch_id: str) -> None:
        """See `CoordinatorLink.discard`."""
        await self._call(lambda: self._coordinator.discard(batch_id))

    async def publish(
        self, batch_id: str, request: RequestRow, promise: Quote | None = None
    ) -> RequestRow:
        """See `CoordinatorLink.publish`."""
        return await self._call(lambda: self._coordinator.publish(batch_id, request, promise))

    async def cancel(
        self, batch_id: str, names: Sequence[str], reason: str, request: RequestRow
    ) -> RequestRow:
        """See `CoordinatorLink.cancel`."""
        return await self._call(lambda: self._coordinator.cancel(batch_id, names, reason, request))

    async def retry(
        self,
        batch_id: str,
        names: Sequence[str],
        states: Sequence[ClipState],
        request: RequestRow,
    ) -> RequestRow:
        """See `CoordinatorLink.retry`."""
        return await self._call(lambda: self._coordinator.retry(batch_id, names, states, request))

    async def release(self, chunks_before: float, events_before: float, limit: int) -> Released:
        """See `CoordinatorLink.release`."""
        return await self._call(
            lambda: self._coordinator.release(chunks_before, events_before, limit)
        )

    async def decide(self, name: str, data: bytes, request: RequestRow) -> RequestRow:
        """See `CoordinatorLink.decide`."""
        return await self._call(lambda: self._coordinator.decide(name, data, request))

    async def notices(self, outcomes: Sequence[NoticeOutcome]) -> list[Notice]:
        """See `CoordinatorLink.notices`."""
        return await self._call(lambda: self._coordinator.notices(outcomes))

    async def why(self, subject: str) -> bytes:
        """See `CoordinatorLink.why`."""
        answer = await self._call(lambda: self._coordinator.why(subject))
        return answer.SerializeToString()

    async def ask_logs(self, question: bytes, cards: Sequence[str]) -> int:
        """See `CoordinatorLink.ask_logs`."""
        parsed = node_pb.LogQuestion.FromString(question)
        return await self._call(lambda: self._coordinator.ask_logs(parsed, cards))

    async def log_answers(self, number: int) -> dict[str, bytes]:
        """See `CoordinatorLink.log_answers`."""
        answers = await self._call(lambda: dict(self._coordinator.log_answers(number)))
        return {card_id: page.SerializeToString() for card_id, page in answers.items()}

    async def picture(self) -> Picture:
        """See `CoordinatorLink.picture`."""
        return await self._call(self._coordinator.picture)

    async def fleet(self) -> tuple[bytes, list[bytes]]:
        """See `CoordinatorLink.fleet`."""
        view, cards = await self._fleet()
        return view.SerializeToString(), [card.SerializeToString() for card in cards]

    async def _fleet(self) -> tuple[fleet_pb.GetFleetResponse, list[types_pb.Card]]:
        return await self._call(self._coordinator.fleet)

    async def _lost(self, card_id: str, incarnation: str, reason: str, for_good: bool) -> None:
        count = await self._call(
            lambda: self._coordinator.lost(card_id, incarnation, reason, for_good=for_good)
        )
        logger.warning("%d leases lost: %s", count, reason, extra={"card_id": card_id})

    async def _tick_for_ever(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            try:
                await self._call(self._coordinator.tick)
            except Exception:
                logger.exception("a tick failed")

    async def _call(self, call: Callable[[], T]) -> T:
        """Run in the writer's thread. A fenced coordinator ends: another one writes now.

        What is wrong here (a full disk, a database that is away) is said here: cards and clients
        only hear that they are to try again.
        """
        try:
            return await asyncio.get_running_loop().run_in_executor(self._writer, call)
        except Fenced:
            logger.error("fenced: a later coordinator has taken over")
            os._exit(FENCED_EXIT)
        except FarmError:
            raise
        except Exception as error:
            logger.error("nothing was changed, for it failed: %s", str(error).partition("\n")[0])
            raise
