"""The way of a machine that has joined to its first clip, in lines: how long, how many bytes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import psutil

from node_agent.cluster.presence import CardState


class Progress:
    """Says what is new of this machine's cards."""

    def __init__(
        self,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        traffic: Callable[[], tuple[int, int]] | None = None,
    ) -> None:
        """`traffic` are bytes that this machine has received and sent; by default as its network
        interfaces, loopback apart, count them."""
        self._say = say
        self._clock = clock
        self._traffic = traffic or network_traffic
        self._began = clock()
        self._before = self._traffic()
        self._conditions: dict[str, str] = {}
        self._passed: set[str] = set()

    def look(self, cards: Mapping[str, CardState]) -> None:
        """How the cards are now, by their ids."""
        for card_id, state in cards.items():
            if state.condition != self._conditions.get(card_id):
                self._conditions[card_id] = state.condition
                self._say(f"card {card_id}: {state.condition}, {self._time()} after joining")
        if any(state.chunks for state in cards.values()):
            self._once("first chunk rendered")
        if any(state.clips for state in cards.values()):
            self._once("first clip delivered")

    def _once(self, what: str) -> None:
        if what not in self._passed:
            self._passed.add(what)
            received, sent = (n - m for n, m in zip(self._traffic(), self._before, strict=True))
            self._say(
                f"{what} {self._time()} after joining: this machine has received "
                f"{received / 1e6:.1f} MB and sent {sent / 1e6:.1f} MB"
            )

    def _time(self) -> str:
        seconds = self._clock() - self._began
        return f"{seconds / 60:.1f} min" if seconds >= 100 else f"{seconds:.0f} s"


def network_traffic() -> tuple[int, int]:
    """Bytes received and sent by this machine, loopback apart."""
    counters = psutil.net_io_counters(pernic=True)
    others = [each for name, each in counters.items() if name != "lo"]
    return sum(each.bytes_recv for each in others), sum(each.bytes_sent for each in others)
