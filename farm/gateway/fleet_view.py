"""The view of the fleet that its service, submissions and the metrics page share."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass

from farm.domain.clip import ClipState, Work
from farm.gateway.coordinator_link import CoordinatorLink, CoordinatorUnavailable
from farm.gateway.settings import GatewaySettings
from farm.gateway.threads import Threads
from farm.gateway.views import baseline_view, counts_view
from farm.plan.economics import Basis, like_for_like
from farm.ports import Ledger
from heliostat.v1 import fleet_service_pb2 as fleet_pb
from heliostat.v1 import types_pb2 as types_pb

WORKS_MAX = 20_000
"""Clips whose work is remembered."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """The fleet at one moment."""

    view: fleet_pb.GetFleetResponse
    cards: list[types_pb.Card]
    basis: Basis
    """Of the H100 equivalents: PUBLISHED only while all that is rendered is what was published."""
    projects: tuple[str, ...] = ()
    """All of them, by name."""


class FleetView:
    """Asks the coordinator at most once a second, however many ask here."""

    def __init__(
        self, settings: GatewaySettings, link: CoordinatorLink, ledger: Ledger, threads: Threads
    ) -> None:
        self._settings = settings
        self._link = link
        self._ledger = ledger
        self._threads = threads
        self._asking = asyncio.Lock()
        self._latest: Fleet | None = None
        self._at = 0.0
        self._works: OrderedDict[str, Work] = OrderedDict()
        self._basis = Basis.ESTIMATED

    async def get(self) -> Fleet:
        """The fleet as it was within the last second. Raises `CoordinatorUnavailable`."""
        async with self._asking:
            now = asyncio.get_running_loop().time()
            limits = self._settings.limits
            if self._latest is None or now - self._at > limits.fleet_seconds:
                self._latest = None
                try:
                    async with asyncio.timeout(limits.coordinator_seconds_max):
                        self._latest = await self._ask()
                except TimeoutError as error:
                    raise CoordinatorUnavailable("the coordinator does not answer") from error
                self._at = now
            return self._latest

    def forget(self) -> None:
        """Ask anew for the next who wants it: something was decided here."""
        self._latest = None

    async def _ask(self) -> Fleet:
        data, cards_data = await self._link.fleet()
        view = fleet_pb.GetFleetResponse.FromString(data)
        cards = [types_pb.Card.FromString(card) for card in cards_data]
        counts, projects = await self._threads.run(self._read)
        view.clips.CopyFrom(counts_view(counts))
        await self._learn_works([clip_id for card in cards for clip_id in card.clip_ids])
        if not view.HasField("baseline"):
            view.baseline.CopyFrom(baseline_view(self._settings.baseline))
        view.h100_equivalents_basis = self._basis.value
        return Fleet(view, cards, self._basis, projects)

    def _read(self) -> tuple[dict[ClipState, int], tuple[str, ...]]:
        """What the ledger adds: clips by state, and all projects."""
        projects = tuple(project.name for project in self._ledger.projects())
        return self._ledger.clip_counts(), projects

    async def _learn_works(self, clip_ids: list[str]) -> None:
        """See whether what is in render now is the work that the baseline was published for."""
        new = [clip_id for clip_id in clip_ids if clip_id not in self._works]
        if new:
            rows = await self._threads.run(self._ledger.clip_rows, new)
            self._works.update((clip_id, row.clip.work) for clip_id, row in rows.items())
        works = {self._works[clip_id] for clip_id in clip_ids if clip_id in self._works}
        while len(self._works) > WORKS_MAX:
            self._works.popitem(last=False)
        model, baseline = self._settings.model, self._settings.baseline
        if model is not None and works:
            try:
                bases = {like_for_like(baseline, model, work).basis for work in works}
            except ValueError:  # steps that the model does not have
                bases = {Basis.ESTIMATED}
            self._basis = Basis.ESTIMATED if Basis.ESTIMATED in bases else baseline.basis
