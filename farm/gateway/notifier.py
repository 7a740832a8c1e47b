"""A gateway tells people what became of their batches: by webhooks, and by a command of the farm's.

It asks the coordinator for notices that are due, tells every place that wants to hear them, each
for itself, and says what became of them. Nobody waits for it: what cannot be told now is told
later, with growing pauses, and after a day no more.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import CollectorRegistry, Counter

from farm.domain.errors import FarmError, NotFound
from farm.domain.notices import Notice, NoticeOutcome
from farm.gateway.coordinator_link import CoordinatorLink
from farm.gateway.hook import run_hook
from farm.gateway.threads import Threads
from farm.gateway.views import batch_json, batch_views
from farm.gateway.webhook import NotTaken, Poster, cloud_event, event_id
from farm.ports import Ledger

_log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS: Final = 5.0
PAUSE_SECONDS_MAX: Final = 3600.0
GIVEN_UP_SECONDS: Final = 86_400.0
"""Notices that could not be told for so long are given up."""
PARALLEL: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeSettings:
    """Who hears of batches beside their own webhooks."""

    secret: str = field(default="", repr=False)
    """Signs every webhook."""
    webhook: str = field(default="", repr=False)
    """Hears of all batches; empty is nobody."""
    hook: tuple[str, ...] = ()
    """A command with its arguments, run for every notice; empty is none."""
    step_seconds: float = 2.0
    """Between two looks."""


class Notifier:
    """Runs in the gateway from its start to its stop."""

    def __init__(
        self,
        settings: NoticeSettings,
        ledger: Ledger,
        link: CoordinatorLink,
        threads: Threads,
        registry: CollectorRegistry,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._link = link
        self._threads = threads
        self._now = now
        self._posting = Threads(PARALLEL, "notices")
        self._poster = Poster(settings.secret)
        self._outcomes: list[NoticeOutcome] = []
        self._sending: set[asyncio.Task[None]] = set()
        self._farm_id = ""
        self._sent = Counter(
            "heliostat_notices",
            "Notices of batches that were sent, by their way and outcome.",
            ["way", "outcome"],
            registry=registry,
        )

    async def run(self) -> None:
        """Look for notices until cancelled; what fails is tried again."""
        try:
            while True:
                await asyncio.sleep(self._settings.step_seconds)
                try:
                    await self.step()
                except FarmError as error:
                    _log.warning("notices wait: %s", error)
                except Exception:  # noqa: BLE001 - the next step may do better
                    _log.exception("a step of the notices failed")
        finally:
            for task in self._sending:
                task.cancel()
            self._posting.close()
            self._poster.close()

    async def step(self) -> None:
        """Say what became of those that were sent, and begin to send what is due."""
        outcomes, self._outcomes = self._outcomes, []
        try:
            due = await self._link.notices(outcomes)
        except BaseException:
            self._outcomes[:0] = outcomes
            raise
        for notice in due:
            task = asyncio.create_task(self._send(notice))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def settle(self) -> None:
        """Wait until everything that is being sent has been told or has failed."""
        await asyncio.gather(*self._sending)

    async def _send(self, notice: Notice) -> None:
        try:
            self._outcomes.append(await self._tell(notice))
        except Exception:  # noqa: BLE001 - it is handed out again later
            _log.exception("notice %d of batch %s failed", notice.number, notice.batch_id)

    async def _tell(self, notice: Notice) -> NoticeOutcome:
        """Tell everyone who has not heard it yet."""
        try:
            body, webhook = await self._threads.run(self._read, notice)
        except NotFound:
            return NoticeOutcome(number=notice.number, ended=True, error="its batch was purged")
        ways = self._ways(webhook)
        settled, errors = list(notice.settled), []
        for name in ways.keys() - set(settled):
            try:
                await self._posting.run(ways[name], event_id(notice, self._farm_id), body)
                outcome = "told"
            except NotTaken as error:
                errors.append(f"{name}: {error}")
                outcome = "failed"
                if error.for_good or self._now() - notice.at > GIVEN_UP_SECONDS:
                    outcome = "given_up"
                    _log.warning("notice %d of batch %s given up: %s", notice.number,
                                 notice.batch_id, error)  # fmt: skip
            self._sent.labels(name, outcome).inc()
            if outcome != "failed":
                settled.append(name)
        return NoticeOutcome(
            number=notice.number,
            settled=tuple(settled),
            ended=ways.keys() <= set(settled),
            retry_at=self._now() + pause_seconds(notice.tries),
            error="; ".join(errors),
        )

    def _ways(self, webhook: str) -> dict[str, Callable[[str, bytes], None]]:
        """Who is to hear it, by the name under which the ledger remembers that they have."""
        ways: dict[str, Callable[[str, bytes], None]] = {}
        for name, url in (("batch", webhook), ("farm", self._settings.webhook)):
            if url:
                ways[name] = lambda number, body, url=url: self._poster.post(  # type: ignore[misc]
                    url, number, body, self._now()
                )
        if self._settings.hook:
            ways["hook"] = lambda number, body: run_hook(self._settings.hook, number, body)
        return ways

    def _read(self, notice: Notice) -> tuple[bytes, str]:
        """The event's body with the batch as it is now, and the batch's own webhook."""
        self._farm_id = self._farm_id or self._ledger.farm_id()
        batch = self._ledger.find_batch(notice.batch_id)
        view = batch_json(batch_views(self._ledger, [batch])[0])
        return cloud_event(notice, self._farm_id, view), batch.webhook


def pause_seconds(tries: int) -> float:
    """Before the next try: twice as long each time up to an hour, with some chance in it."""
    pause = min(FIRST_PAUSE_SECONDS * 2 ** min(tries, 20), PAUSE_SECONDS_MAX)
    return float(pause * random.uniform(0.8, 1.2))  # noqa: S311 - no secret
