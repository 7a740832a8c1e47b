"""The gateway's link to the coordinator, over Ray."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from farm.domain.batch import Batch
from farm.domain.clip import ClipState
from farm.domain.errors import FarmError
from farm.domain.ledger import Released, RequestRow
from farm.domain.notices import Notice, NoticeOutcome
from farm.domain.quote import Quote
from farm.domain.spec import NewClip
from farm.fleet_ray.names import COORDINATOR, NAMESPACE
from farm.gateway.coordinator_link import CoordinatorUnavailable
from farm.plan.picture import Picture


class RayCoordinatorLink:
    """`CoordinatorLink` to the actor that Ray keeps running on the head."""

    def __init__(self) -> None:
        self._coordinator: Any = None

    async def exchange(self, requests: Sequence[bytes]) -> list[bytes]:
        """See `CoordinatorLink.exchange`."""
        answers: list[bytes] = await self._call("exchange", list(requests))
        return answers

    async def begin(self, batch: Batch) -> None:
        """See `CoordinatorLink.begin`."""
        await self._call("begin", batch)

    async def stage(self, batch_id: str, clips: Sequence[NewClip]) -> None:
        """See `CoordinatorLink.stage`."""
        await self._call("stage", batch_id, list(clips))

    async def stage_dependencies(self, batch_id: str, pairs: Sequence[tuple[int, int]]) -> None:
        """See `CoordinatorLink.stage_dependencies`."""
        await self._call("stage_dependencies", batch_id, list(pairs))

    async def discard(self, batch_id: str) -> None:
        """See `CoordinatorLink.discard`."""
        await self._call("discard", batch_id)

    async def publish(
        self, batch_id: str, request: RequestRow, promise: Quote | None = None
    ) -> RequestRow:
        """See `CoordinatorLink.publish`."""
        answer: RequestRow = await self._call("publish", batch_id, request, promise)
        return answer

    async def cancel(
        self, batch_id: str, names: Sequence[str], reason: str, request: RequestRow
    ) -> RequestRow:
        """See `CoordinatorLink.cancel`."""
        answer: RequestRow = await self._call("cancel", batch_id, list(names), reason, request)
        return answer

    async def retry(
        self,
        batch_id: str,
        names: Sequence[str],
        states: Sequence[ClipState],
        request: RequestRow,
    ) -> RequestRow:
        """See `CoordinatorLink.retry`."""
        answer: RequestRow = await self._call("retry", batch_id, list(names), list(states), request)
        return answer

    async def release(self, chunks_before: float, events_before: float, limit: int) -> Released:
        """See `CoordinatorLink.release`."""
        released: Released = await self._call("release", chunks_before, events_before, limit)
        return released

    async def decide(self, name: str, data: bytes, request: RequestRow) -> RequestRow:
        """See `CoordinatorLink.decide`."""
        answer: RequestRow = await self._call("decide", name, data, request)
        return answer

    async def notices(self, outcomes: Sequence[NoticeOutcome]) -> list[Notice]:
        """See `CoordinatorLink.notices`."""
        due: list[Notice] = await self._call("notices", list(outcomes))
        return due

    async def why(self, subject: str) -> bytes:
        """See `CoordinatorLink.why`."""
        answer: bytes = await self._call("why", subject)
        return answer

    async def ask_logs(self, question: bytes, cards: Sequence[str]) -> int:
        """See `CoordinatorLink.ask_logs`."""
        number: int = await self._call("ask_logs", question, list(cards))
        return number

    async def log_answers(self, number: int) -> dict[str, bytes]:
        """See `CoordinatorLink.log_answers`."""
        answers: dict[str, bytes] = await self._call("log_answers", number)
        return answers

    async def picture(self) -> Picture:
        """See `CoordinatorLink.picture`."""
        picture: Picture = await self._call("picture")
        return picture

    async def fleet(self) -> tuple[bytes, list[bytes]]:
        """See `CoordinatorLink.fleet`."""
        view: tuple[bytes, list[bytes]] = await self._call("fleet")
        return view

    async def _call(self, method: str, *arguments: Any) -> Any:
        try:
            if self._coordinator is None:
                self._coordinator = await asyncio.to_thread(
                    ray.get_actor, COORDINATOR, namespace=NAMESPACE
                )
            return await getattr(self._coordinator, method).remote(*arguments)
        except RayTaskError as error:
            if isinstance(error.cause, FarmError):
                raise error.cause from None
            raise
        except (RayError, ValueError) as error:  # ValueError: there is none yet
            self._coordinator = None
            text = str(error).splitlines()[0]
            raise CoordinatorUnavailable(f"the coordinator is being restarted: {text}") from error
