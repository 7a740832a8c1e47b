"""A model's way to many nodes, on a virtual clock: the nodes' own picker, simulated links.

Links are full duplex and shared max-min fair (progressive filling). A node that is killed is a
machine without power: what it was sending stalls, and who asks it waits in vain. Time goes on in
steps of `STEP_SECONDS`, what a piece leaves of its last step is lost, so all is a little slower
than it would be.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Final

from farm.sim.swarm_links import Links
from heliostat.swarm.bits import all_of
from heliostat.swarm.picker import SOURCE, Ask, Limits, Picker

PIECE_BYTES: Final = 16 << 20
GIGABIT: Final = 125e6
"""Bytes a second."""
STEP_SECONDS: Final = (0.05, 0.2)
LOOK_SECONDS: Final = 0.5
"""A node looks for something to ask at least so often."""
SLOTS: Final = 8
"""Pieces that a node sends at once; others hear that it is busy."""
CONNECT_SECONDS_MAX: Final = 5.0
READ_SECONDS_MAX: Final = 20.0
DROPPED_SECONDS: Final = 60.0
"""After so long the farm names a dead node no more."""
EXCHANGE_SECONDS: Final = 10.0
"""So often the farm names neighbours."""
WHOLE_MAX: Final = 8
"""Of those that it names to a node, nodes that have everything, where others have parts."""
KILLED_AT: Final = 0.5
"""Part of the time of one copy over one link."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """What is rolled out, to whom, and what goes wrong. The first node is the canary."""

    nodes: int = 62
    pieces: int = 2400
    link: float = GIGABIT
    """Bytes a second, each way, of each node and of the source."""
    killed: int = 0
    """Nodes that go in mid-way, the canary apart."""
    canary_killed: bool = False
    named: int = 16
    """Neighbours that the farm names to each node."""
    corrupting: int = 0
    """Nodes that send wrong bytes."""
    slow: int = 0
    """Nodes with a tenth of the link."""
    seed: int = 1
    seconds_max: float = 86_400.0
    limits: Limits = field(default_factory=Limits)

    @property
    def size(self) -> int:
        """Bytes of the model."""
        return self.pieces * PIECE_BYTES

    @property
    def one_copy_seconds(self) -> float:
        """One copy over one link: no node can be faster."""
        return self.size / self.link


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutFigures:
    """A rollout in numbers."""

    nodes: int
    bytes: int
    whole: int
    """Nodes that have all of it, the canary counted."""
    alive: int
    slow: int
    source_copies: float
    """Sent by the source, in copies of the model: the canary's own is one."""
    canary_copies: float
    """Sent by the canary."""
    canary_seconds: float
    """Until the canary has it; the others begin then."""
    seconds: float
    """From then until the last living node is whole."""
    fast_seconds: float
    """The same without slow nodes."""
    median_seconds: float
    one_copy_seconds: float
    one_source_seconds: float
    """All from the source, and nobody from a neighbour."""
    named: tuple[str, ...]
    """Who was found to send wrong pieces."""
    wrong_pieces: int


class RolloutSimulation:
    """Call `run` once."""

    def __init__(self, plan: Rollout) -> None:
        self._plan = plan
        self._now = 0.0
        names = [f"node{number:02d}" for number in range(plan.nodes)]
        self._names = names
        self._number = {name: number for number, name in enumerate(names)}
        self._pickers = [Picker(name, plan.pieces, limits=plan.limits) for name in names]
        self._pickers[0].have = all_of(plan.pieces)
        dice = random.Random(plan.seed)  # noqa: S311 - a simulation
        others = dice.sample(range(1, plan.nodes), plan.killed + plan.corrupting + plan.slow)
        self._victims = others[: plan.killed] + [0] * plan.canary_killed
        self._liars = set(others[plan.killed : plan.killed + plan.corrupting])
        self._slow = set(others[plan.killed + plan.corrupting :])
        speeds = [plan.link / (10 if n in self._slow else 1) for n in range(plan.nodes)]
        self._links: Links[tuple[int, Ask]] = Links([*speeds, plan.link])
        self._dead: set[int] = set()
        self._flows: dict[tuple[int, Ask], int] = {}
        self._sending = [0] * (plan.nodes + 1)
        self._waiting: list[tuple[float, int, Ask | str]] = []
        self._whole_at = [0.0] + [float("inf")] * (plan.nodes - 1)
        self._looks = [dice.uniform(0.0, LOOK_SECONDS) for _ in names]
        self._wrong = 0
        self._exchange_at = 0.0
        self._dropped: set[int] = set()

    def run(self) -> RolloutFigures:
        """Simulate until every living node has the model, or `seconds_max`."""
        plan = self._plan
        while self._now < plan.seconds_max and self._unfinished():
            self._fail()
            if self._now >= self._exchange_at:
                self._exchange_at = self._now + EXCHANGE_SECONDS
                self._name_neighbours()
            self._speak()
            seconds = self._links.step_seconds(*STEP_SECONDS)
            self._now += seconds
            for flow in self._links.advance(seconds):
                self._arrived(flow)
        return self._figures()

    def _unfinished(self) -> bool:
        return any(at == float("inf") for n, at in enumerate(self._whole_at) if n not in self._dead)

    def _fail(self) -> None:
        """Kill those who are to be killed, once; let those hear of it who waited in vain."""
        plan = self._plan
        if self._victims and not self._dead and self._now >= KILLED_AT * plan.one_copy_seconds:
            self._dead.update(self._victims)
            for (node, ask), flow in list(self._flows.items()):
                if node in self._dead:
                    self._stop(node, ask)
                elif ask.of != SOURCE and self._number[ask.of] in self._dead:
                    self._links.stall(flow)
                    self._waiting.append((self._now + READ_SECONDS_MAX, node, ask))
        if self._dead and self._now >= KILLED_AT * plan.one_copy_seconds + DROPPED_SECONDS:
            self._dropped = self._dead
        due = [entry for entry in self._waiting if entry[0] <= self._now]
        self._waiting = [entry for entry in self._waiting if entry[0] > self._now]
        for _, node, what in due:
            if isinstance(what, str):
                self._pickers[node].silent(what, self._now)
            else:
                self._stop(node, what)
                self._pickers[node].stumbled(what, self._now)

    def _name_neighbours(self) -> None:
        """Those that come after a node by name, round about, so that each asks others."""
        ring = [node for node in range(self._plan.nodes) if node not in self._dropped]
        whole = {node for node in ring if self._pickers[node].whole}
        everyone = [self._names[node] for node in ring]
        for node, picker in enumerate(self._pickers):
            after = [n for n in ring if n > node] + [n for n in ring if n < node]
            parts = [n for n in after if n not in whole]
            few = max(WHOLE_MAX, self._plan.named - len(parts))
            named = [*[n for n in after if n in whole][:few], *parts][: self._plan.named]
            picker.neighbours([self._names[n] for n in named], everyone)

    def _speak(self) -> None:
        """Let nodes whose time it is ask for what they lack."""
        for node, picker in enumerate(self._pickers):
            if self._looks[node] > self._now or node in self._dead or picker.whole:
                continue
            self._looks[node] = self._now + LOOK_SECONDS
            for name in picker.polls(self._now):
                if self._number[name] in self._dead:
                    self._waiting.append((self._now + CONNECT_SECONDS_MAX, node, name))
                else:
                    picker.heard(name, self._pickers[self._number[name]].have, self._now)
            for ask in picker.choose(self._now):
                self._ask(node, ask)

    def _ask(self, node: int, ask: Ask) -> None:
        giver = self._plan.nodes if ask.of == SOURCE else self._number[ask.of]
        if giver in self._dead:
            self._waiting.append((self._now + CONNECT_SECONDS_MAX, node, ask))
        elif ask.of != SOURCE and self._sending[giver] >= SLOTS:
            self._pickers[node].busy(ask, self._now)
        else:
            self._sending[giver] += 1
            self._flows[node, ask] = self._links.open(giver, node, PIECE_BYTES, (node, ask))

    def _stop(self, node: int, ask: Ask) -> None:
        """It is sent no more."""
        flow = self._flows.pop((node, ask), None)
        if flow is not None:
            self._links.close(flow)
            self._sending[self._plan.nodes if ask.of == SOURCE else self._number[ask.of]] -= 1

    def _arrived(self, what: tuple[int, Ask]) -> None:
        node, ask = what
        picker = self._pickers[node]
        self._stop(node, ask)
        self._looks[node] = self._now
        if ask.of != SOURCE:
            picker.heard(ask.of, self._pickers[self._number[ask.of]].have, self._now)
            if self._number[ask.of] in self._liars:
                self._wrong += 1
                picker.corrupted(ask, self._now)
                return
        for void in picker.received(ask, self._now):
            self._stop(node, void)
        if picker.whole:
            self._whole_at[node] = self._now

    def _figures(self) -> RolloutFigures:
        plan = self._plan
        alive = [n for n in range(plan.nodes) if n not in self._dead]
        times = sorted(self._whole_at[n] for n in alive)
        fast = [self._whole_at[n] for n in alive if n not in self._slow]
        named = set().union(*(self._pickers[n].banned for n in alive))
        return RolloutFigures(
            nodes=plan.nodes,
            bytes=plan.size,
            whole=sum(self._pickers[n].whole for n in alive),
            alive=len(alive),
            slow=len(self._slow.intersection(alive)),
            source_copies=1 + self._links.sent(plan.nodes) / plan.size,
            canary_copies=self._links.sent(0) / plan.size,
            canary_seconds=plan.one_copy_seconds,
            seconds=times[-1],
            fast_seconds=max(fast),
            median_seconds=times[len(times) // 2],
            one_copy_seconds=plan.one_copy_seconds,
            one_source_seconds=plan.nodes * plan.one_copy_seconds,
            named=tuple(sorted(named)),
            wrong_pieces=self._wrong,
        )
