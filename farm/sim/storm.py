"""Lets the faults of a simulation happen: a script drawn from the seed before it begins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from farm.sim.agent import SimAgent
from farm.sim.card import SimCard
from farm.sim.wire import Wire
from farm.sim.world import World

RAY_SEES_AGENT_SECONDS: Final = 1.8
RAY_SEES_NODE_SECONDS: Final = 14.0
FREEZE_SECONDS_MAX: Final = 120.0
PARTITION_SECONDS: Final = (5.0, 180.0)
NODE_SECONDS: Final = (120.0, 1200.0)
TWIN_SECONDS_MAX: Final = 90.0
CLOCK_SECONDS_MAX: Final = 3600.0


class Head(Protocol):
    """The coordinator's side of a simulation."""

    def restart_coordinator(self) -> None:
        """Kill it and start another one."""
        ...

    def lost(self, card_id: str, incarnation: str) -> None:
        """Ray reports that an agent died."""
        ...


class Storm:
    """Keeps an agent on every card, and kills, freezes and cuts off what the script says."""

    def __init__(self, world: World, wire: Wire, head: Head, cards: list[SimCard]) -> None:
        self._world = world
        self._wire = wire
        self._head = head
        self._cards = cards
        self._nodes: dict[str, list[SimCard]] = {}
        for card in cards:
            self._nodes.setdefault(card.node_id, []).append(card)
        self.agents: dict[str, SimAgent] = {}
        self._down: set[str] = set()

    def begin(self, *, load_seconds: float) -> None:
        """Start every agent, and plan all that will go wrong."""
        timeline, faults = self._world.timeline, self._world.faults
        slow = self._world.dice("slow")
        for card in self._cards:
            card.slowness = 3.0 if slow.random() < faults.slow else 1.0
            first = self._world.dice("first").uniform(0.0, 2.0)
            timeline.after(first, lambda card=card: self._start(card, load_seconds))  # type: ignore[misc]
        nodes, cards = list(self._nodes), self._cards
        pick = self._world.dice("victim").choice
        self._plan("card death", faults.card_death * len(cards), lambda: self._kill(pick(cards)))
        self._plan(
            "card freeze", faults.card_freeze * len(cards), lambda: self._freeze(pick(cards))
        )
        self._plan("card twin", faults.card_twin * len(cards), lambda: self._twin(pick(cards)))
        self._plan("node death", faults.node_death * len(nodes), lambda: self._fell(pick(nodes)))
        self._plan("partition", faults.partition * len(nodes), lambda: self._cut(pick(nodes)))
        self._plan(
            "coordinator restart", faults.coordinator_restart, self._head.restart_coordinator
        )
        self._plan("clock step", faults.clock_step, self._step_clock)

    def _plan(self, name: str, rate: float, call: Callable[[], None]) -> None:
        """Let it happen `rate` times a second on average, until all is quiet."""
        if rate <= 0.0:
            return
        world = self._world
        when = world.timeline.monotonic() + world.dice(name).expovariate(rate)
        if when < world.quiet_after:

            def happen() -> None:
                world.record.counts[name] += 1
                call()
                self._plan(name, rate, call)

            world.timeline.at(when, happen)

    def _start(self, card: SimCard, load_seconds: float) -> None:
        if card.node_id in self._down:
            return
        agent = self.agents.get(card.card_id)
        if agent is None or agent.dead:
            self.agents[card.card_id] = SimAgent(
                card, self._world, self._wire, load_seconds=load_seconds
            )

    def _kill(self, card: SimCard) -> None:
        self._end(card, RAY_SEES_AGENT_SECONDS)
        pace = self._world.pace
        self._world.timeline.after(pace.start, lambda: self._start(card, pace.load))

    def _end(self, card: SimCard, seen_seconds: float) -> None:
        agent = self.agents.get(card.card_id)
        if agent is None or agent.dead:
            return
        agent.die()
        self._world.record.mark(self._world.timeline.monotonic(), card.card_id, "death")
        name = agent.incarnation
        # Where Ray says nothing the lease has to run out.
        if self._world.dice("ray").random() < 0.8:
            self._world.timeline.after(seen_seconds, lambda: self._head.lost(card.card_id, name))

    def _freeze(self, card: SimCard) -> None:
        agent = self.agents.get(card.card_id)
        if agent is not None:
            agent.freeze(self._world.dice("freeze seconds").uniform(1.0, FREEZE_SECONDS_MAX))

    def _twin(self, card: SimCard) -> None:
        """A new agent is started, and the old one does not know yet that it is to end."""
        old = self.agents.get(card.card_id)
        if old is None or old.dead:
            return
        world = self._world
        self.agents[card.card_id] = SimAgent(card, world, self._wire, load_seconds=world.pace.load)
        world.timeline.after(world.dice("twin").uniform(1.0, TWIN_SECONDS_MAX), old.die)

    def _fell(self, node_id: str) -> None:
        if node_id in self._down:
            return
        self._down.add(node_id)
        for card in self._nodes[node_id]:
            self._end(card, RAY_SEES_NODE_SECONDS)
        seconds = self._world.dice("node seconds").uniform(*NODE_SECONDS)
        self._world.timeline.after(seconds, lambda: self._raise(node_id))

    def _raise(self, node_id: str) -> None:
        self._down.discard(node_id)
        for card in self._nodes[node_id]:
            self._start(card, self._world.pace.load)

    def _cut(self, node_id: str) -> None:
        dice = self._world.dice("cut")
        requests, replies = dice.choice([(True, True), (True, False), (False, True)])
        self._wire.cut(
            node_id, dice.uniform(*PARTITION_SECONDS), requests=requests, replies=replies
        )

    def _step_clock(self) -> None:
        step = self._world.dice("clock").uniform(-CLOCK_SECONDS_MAX, CLOCK_SECONDS_MAX)
        self._world.timeline.step_wall(step)
