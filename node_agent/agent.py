"""The agent: serves one card. It tells the farm everything it holds, and makes it so.

The loop is level-triggered: each exchange carries the full set of attempts held and everything
that waits for an answer; each response carries the full set wanted.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import secrets
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from heliostat.logs.setup import about
from heliostat.traces import spans_of
from heliostat.v1 import node_service_pb2 as node_pb
from heliostat.v1 import types_pb2 as types_pb
from node_agent.attempt import Attempt
from node_agent.burnin.kept import Kept
from node_agent.card_report import card_report, telemetry_report
from node_agent.card_settings import CardSettings
from node_agent.cluster.presence import CardState
from node_agent.engine import Engine
from node_agent.examination import Examiner
from node_agent.failpoints import reach
from node_agent.inventory import place_of
from node_agent.links.link import Link, LinkDown
from node_agent.log_pages import LogPages
from node_agent.node_file import NodeFileError, Place, load_places
from node_agent.outbox import AttemptKey, Outbox
from node_agent.outfit import Outfitter
from node_agent.standing import RESTING, Rest
from node_agent.supply import Supply
from node_agent.telemetry import CardWatch, Identity
from node_agent.upload import ObjectTransfer
from node_agent.workbench import Counters, Workbench

logger = logging.getLogger(__name__)

LINK_DOWN_SECONDS_MAX = 2.0
"""Longest pause before the farm is tried again."""
LATER_SECONDS = 0.5
"""Pause before a report that the farm could not take yet is made again."""
LEAVING = "its node leaves the farm"
"""The condition of a card that takes no more clips."""
FINISHING_MAX = 4
"""Clips that may be on their way to the store while others render."""


class Agent:
    """One incarnation of a card's agent."""

    def __init__(self, settings: CardSettings, link: Link, watch: CardWatch | None = None) -> None:
        """`watch` is by default one of the settings' device."""
        self.incarnation = secrets.token_hex(8)
        self._settings = settings
        self._link = link
        self._outbox = Outbox()
        self._log_pages = LogPages(settings.log_file, self._outbox.changed.set)
        self._watch = watch or CardWatch(settings.device)
        self._counters = Counters()
        self._engine = Engine(settings.child, self._outbox.changed.set, settings.stall)
        self._spool = settings.spool / self.incarnation
        self._attempts: dict[AttemptKey, tuple[Attempt, asyncio.Task[None]]] = {}
        self._places = _places(settings.node_file)
        self._standing: types_pb.Standing.ValueType = types_pb.STANDING_OPEN
        self._rest = Rest(self._engine, settings.idle_unload_seconds)
        kept = Kept(settings.kept)
        self._examiner = Examiner(
            self._engine,
            settings.device,
            settings.spool / "examination",
            settings.golden,
            kept=kept,
        )
        self._outfitter = Outfitter(
            settings, self._engine, self._examiner, kept, self._outbox.changed.set
        )
        self._examining: asyncio.Task[None] | None = None
        self._examination: node_pb.Examination | None = None
        self._supply = Supply(settings.supply, self._outbox.changed.set)
        self._leaving = False

    def leave(self) -> None:
        """Take no more clips, and give those up that are held: each at its next chunk boundary."""
        self._leaving = True
        self._outbox.changed.set()

    @property
    def state(self) -> CardState:
        """How the card does, for its node."""
        counters = self._counters
        return CardState(
            condition=self._condition,
            held=len(self._attempts),
            chunks=counters.chunks_rendered,
            clips=counters.clips_delivered,
        )

    @property
    def _condition(self) -> str:
        return LEAVING if self._leaving else self._engine.condition

    async def run(self) -> None:
        """Serve the card until cancelled."""
        logger.info("agent starts as incarnation %s", self.incarnation)
        await asyncio.to_thread(self._take_over_spool)
        self._watch.start()
        tools = Workbench(
            card_id=self._settings.card_id,
            engine=self._engine,
            outbox=self._outbox,
            transfer=ObjectTransfer(ca_file=self._settings.ca_file, on_retry=self._count_retry),
            counters=self._counters,
            spool=self._spool,
            thresholds=self._settings.thresholds,
            inputs=self._settings.inputs,
            roots=self._settings.roots,
            spans=spans_of("agent"),
        )
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._engine.run())
                group.create_task(self._exchange_for_ever(tools, group))
        finally:
            self._watch.close()
            self._supply.close()
            await asyncio.to_thread(shutil.rmtree, self._spool, ignore_errors=True)

    def _take_over_spool(self) -> None:
        """Files of earlier incarnations are of no use: what was not recorded is rendered anew."""
        shutil.rmtree(self._settings.spool, ignore_errors=True)
        self._spool.mkdir(parents=True)

    def _count_retry(self, reason: str) -> None:
        logger.warning("the object store is asked again: %s", reason)
        self._counters.upload_retries += 1

    async def _exchange_for_ever(self, tools: Workbench, group: asyncio.TaskGroup) -> None:
        pause = 0.05
        while True:
            self._outbox.changed.clear()
            try:
                request = self.request()
                raw = await self._link.exchange(request.SerializeToString())
            except LinkDown as error:
                logger.info("farm not reached: %s", error)
                await asyncio.sleep(random.uniform(0.5, 1.0) * pause)  # noqa: S311 - jitter
                pause = min(LINK_DOWN_SECONDS_MAX, pause * 2)
                continue
            pause = 0.05
            if request.outbox:
                reach("agent.exchange.answered")
            response = node_pb.ExchangeResponse.FromString(raw)
            later = self._outbox.settle(response.verdicts)
            self._outbox.hand_out(response.grants)
            await self._log_pages.heed(response.logs)
            await asyncio.sleep(0)  # attempts that were just answered end by themselves
            await self._reconcile(response.wanted, tools, group)
            if self._leaving:
                for attempt, _ in self._attempts.values():
                    await attempt.give_up()
            self._standing = response.standing
            self._heed_examine(response.examine, group)
            self._supply.heed(response.outfit)
            self._heed_outfit(response.outfit, group)
            seconds = LATER_SECONDS if later else float(response.next_exchange_seconds or 10)
            seconds = min(seconds, self._rest.heed(self._standing, idle=self._is_idle()))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._outbox.changed.wait()

    def request(self) -> node_pb.ExchangeRequest:
        """What the farm is told now: everything."""
        attempts = [attempt for attempt, _ in self._attempts.values()]
        finishing = min(FINISHING_MAX, sum(attempt.finishing for attempt in attempts))
        senses = self._watch.latest()
        capacity = self._engine.options.lanes + self._settings.prefetch + finishing
        takes_clips = self._engine.ready and not self._leaving and not self._outfitter.is_busy
        request = node_pb.ExchangeRequest(
            card=card_report(
                self._settings,
                self._engine,
                senses,
                incarnation=self.incarnation,
                condition=self._condition,
                tags=(*self._settings.tags, *self._place(senses.identity).all_tags),
                examination=self._examination,
                holding=self._supply.holding(),
                outfitter=self._outfitter,
            ),
            held=[attempt.held for attempt in attempts],
            capacity=capacity if takes_clips else 0,
            telemetry=telemetry_report(self._counters, self._engine, senses, self._spool),
        )
        request.sent_at.GetCurrentTime()
        self._outbox.fill(request)
        self._log_pages.fill(request)
        return request

    async def _reconcile(
        self, wanted: Iterable[node_pb.Lease], tools: Workbench, group: asyncio.TaskGroup
    ) -> None:
        """Hold exactly what is wanted: begin what is new, drop what is not wanted any more."""
        leases = {(lease.clip_id, lease.attempt): lease for lease in wanted}
        for key, (attempt, work) in list(self._attempts.items()):
            if key not in leases and not attempt.over:
                work.cancel()
        for key, lease in leases.items():
            if key not in self._attempts and lease.HasField("order"):
                attempt = Attempt(lease, tools)
                work = group.create_task(self._work(attempt))
                self._attempts[key] = (attempt, work)
            if key in self._attempts:
                await self._attempts[key][0].steer(lease.steers)
                if lease.yield_asked:
                    await self._attempts[key][0].give_up()

    def _is_idle(self) -> bool:
        """It holds nothing, has nothing to tell, examines nothing and is not being changed."""
        busy = self._attempts or self._examining or self._outfitter.is_busy
        return not busy and self._outbox.is_empty

    def _heed_examine(self, number: int, group: asyncio.TaskGroup) -> None:
        """Begin the examination that is asked for; end one that is in the way of a rest."""
        if self._standing in RESTING:
            if self._examining is not None:
                self._examining.cancel()
            return
        known = self._examination.number if self._examination else 0
        if number not in (0, known) and self._is_idle():
            self._examining = group.create_task(self._examine(number))

    def _heed_outfit(self, outfit: node_pb.Outfit, group: asyncio.TaskGroup) -> None:
        """Do what makes the card ready for what it should run, unless it is at work or rests."""
        self._outfitter.want(outfit)
        if self._is_idle() and self._standing not in RESTING and not self._leaving:
            self._outfitter.begin(group)

    async def _examine(self, number: int) -> None:
        try:
            self._examination = await self._examiner.examine(number)
        finally:
            self._examining = None
            self._outbox.changed.set()

    def _place(self, card: Identity | None) -> Place:
        """What the operator says of the card."""
        try:
            return place_of(card, self._places) if card else Place()
        except NodeFileError as error:
            logger.warning("%s", error)
            return Place()

    async def _work(self, attempt: Attempt) -> None:
        try:
            with about(clip_id=attempt.key[0], attempt=attempt.key[1], batch_id=attempt.batch_id):
                await attempt.run()
        finally:
            del self._attempts[attempt.key]
            self._outbox.changed.set()


def _places(path: Path | None) -> Mapping[str, Place]:
    """What the node file says; nothing, and a word in the log, where it cannot be read."""
    try:
        return load_places(path) if path else {}
    except NodeFileError as error:
        logger.error("%s; the cards go without what it says", error)
        return {}
