"""Exchanges on their way between cards and gateway, with all that can happen to a message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from farm.sim.world import World
from heliostat.v1 import node_service_pb2 as node_pb

LINK_SECONDS: Final = 60.0
"""An exchange that takes longer is said again by its card (as over Ray)."""
REFUSED_SECONDS: Final = 0.2
"""A connection that breaks is noticed."""
LATE_SECONDS_MAX: Final = 120.0

Answer = Callable[[node_pb.ExchangeResponse | None], None]
"""Takes the response; None is a link that is down."""


class Gateway(Protocol):
    """Where exchanges arrive."""

    def arrive(self, request: node_pb.ExchangeRequest, answer: Answer) -> None:
        """Take a request in; `answer` is called once, now or later."""
        ...


class Wire:
    """The network. It may lose, delay, repeat and reorder; it never changes a message."""

    def __init__(self, world: World, gateway: Gateway) -> None:
        self._world = world
        self._gateway = gateway
        self._cut: dict[str, tuple[float, tuple[bool, bool]]] = {}

    def cut(self, node_id: str, seconds: float, *, requests: bool, replies: bool) -> None:
        """From now on a machine's requests, replies, or both are lost for a while."""
        until = self._world.timeline.monotonic() + seconds
        self._cut[node_id] = (until, (requests, replies))

    def send(self, request: node_pb.ExchangeRequest, answer: Answer) -> None:
        """Carry a request there and its response back; `answer` is called once."""
        world, faults = self._world, self._world.faults
        answer = _once(answer)
        world.record.counts["exchanges"] += 1
        if self._is_cut(request, 0) or world.strikes(faults.lost_request, "lost request"):
            world.timeline.after(self._noticed(), lambda: answer(None))
            return
        delay = self._delay()
        if world.strikes(faults.late, "late"):
            delay = world.dice("late").uniform(1.0, LATE_SECONDS_MAX)
            world.timeline.after(LINK_SECONDS, lambda: answer(None))
        arrive = self._gateway.arrive
        world.timeline.after(
            delay, lambda: arrive(request, lambda r: self._back(request, r, answer))
        )
        if world.strikes(faults.duplicate, "duplicate"):
            again = delay + world.dice("duplicate").uniform(0.0, LATE_SECONDS_MAX / 4)
            world.timeline.after(again, lambda: arrive(request, _nobody))

    def _back(
        self,
        request: node_pb.ExchangeRequest,
        response: node_pb.ExchangeResponse | None,
        answer: Answer,
    ) -> None:
        world = self._world
        if self._is_cut(request, 1) or world.strikes(world.faults.lost_reply, "lost reply"):
            world.timeline.after(self._noticed(), lambda: answer(None))
        else:
            world.timeline.after(self._delay(), lambda: answer(response))

    def _is_cut(self, request: node_pb.ExchangeRequest, way: int) -> bool:
        cut = self._cut.get(request.card.node_id)
        if cut is None or self._world.timeline.monotonic() >= cut[0]:
            return False
        return cut[1][way]

    def _noticed(self) -> float:
        """Half of the losses break the connection, the others are silence."""
        silent = self._world.dice("noticed").random() < 0.5
        return LINK_SECONDS if silent else REFUSED_SECONDS

    def _delay(self) -> float:
        return self._world.dice("delay").uniform(*self._world.pace.message)


def _once(answer: Answer) -> Answer:
    answered = False

    def call(response: node_pb.ExchangeResponse | None) -> None:
        nonlocal answered
        if not answered:
            answered = True
            answer(response)

    return call


def _nobody(_response: node_pb.ExchangeResponse | None) -> None:
    """The answer to a message that came twice: its card waits for one."""
