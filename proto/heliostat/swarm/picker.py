"""Which piece a node asks of whom, so that the source sends few copies of a model.

    neighbours first   the source is asked only for what no living neighbour has, and for each such
                       piece by one node: the one whose share (`bits.shares`) it is
    rarest first       of what neighbours have; among equals its own share, so that not all ask the
                       one that has everything for the same pieces
    few at once        of each neighbour and in all
    late ones again    a piece that takes long is asked of another as well; the first answer counts
    left for a while   who stumbles, twice as long each time; who sent a wrong piece, for good

It keeps no clock, does no IO and draws no lots: the same calls give the same answers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

from heliostat.swarm.bits import Rarity, all_of, first_from, shares

SOURCE: Final = ""
"""In place of a neighbour's name: where the model comes from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Of what one node does."""

    at_once: int = 8
    """Pieces under way; late ones are not counted, up to as many more."""
    of_one: int = 2
    """Of them, of one neighbour."""
    of_source: int = 1
    """Of them, of the source while neighbours live: what is sent twice was under way twice."""
    busy_seconds: float = 0.5
    """A neighbour that has its hands full is left alone for so long; longer if it stays so."""
    busy_seconds_max: float = 4.0
    stumble_seconds: float = 1.0
    """After a first failure, and twice as long after each more."""
    stumble_seconds_max: float = 120.0
    dead_after: int = 3
    """Failures in a row after which what a neighbour has counts as lost."""
    lost_seconds: float = 60.0
    """As long may those whose share they are bring lost pieces, before others ask as well."""
    late_factor: float = 3.0
    """A piece is late after so many times what the last ones took."""
    late_seconds_min: float = 2.0
    late_seconds_first: float = 30.0
    """While none has come yet."""
    poll_seconds: float = 2.0
    """A neighbour that was not heard of for so long is asked what it has."""
    poll_seconds_each: float = 0.1
    """At least so many seconds for each neighbour, for all of them ask."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A request for one piece."""

    piece: int
    of: str
    """A neighbour, or `SOURCE`."""


@dataclass(slots=True)
class _Peer:
    """A neighbour (or the source) as this node knows it."""

    salt: int
    have: int = 0
    heard_at: float | None = None
    polling: bool = False
    asked: int = 0
    seconds: float | None = None
    """What a piece takes from it, smoothed."""
    failures: int = 0
    silences: int = 0
    busy: int = 0
    again_at: float = 0.0
    poll_at: float = 0.0
    banned: bool = False


@dataclass(slots=True)
class Picker:
    """One node's part in the sharing out of one model."""

    me: str
    count: int
    """Pieces of the model."""
    have: int = 0
    """Those that are here."""
    limits: Limits = field(default_factory=Limits)
    _peers: dict[str, _Peer] = field(default_factory=dict)
    _source: _Peer = field(init=False)
    _under_way: dict[Ask, float] = field(default_factory=dict)
    _seconds: float | None = None
    _rarity: Rarity | None = None
    _held: int = 0
    _everyone: tuple[str, ...] = ()
    _lost: tuple[int, float] | None = None
    """How many pieces nobody has, and since when they are not fewer."""
    _nodes: frozenset[str] = frozenset()
    _turn: int = 0
    """How often they were shared out anew, since they did not become fewer."""

    def __post_init__(self) -> None:
        self._source = _Peer(0, have=all_of(self.count), heard_at=0.0)

    @property
    def whole(self) -> bool:
        """Every piece is here."""
        return self.have == all_of(self.count)

    @property
    def banned(self) -> set[str]:
        """Who sent what was not the piece."""
        return {name for name, peer in self._peers.items() if peer.banned}

    def neighbours(self, names: Collection[str], nodes: Collection[str] = ()) -> None:
        """Who may be asked, apart from this node; new ones are to be heard.

        `nodes` are all that take part, these among them; none is the same as these alone.
        """
        wanted = set(names) - {self.me}
        if self._nodes != (others := frozenset(nodes) - wanted):
            self._nodes, self._rarity = others, None
        for name in sorted(wanted - self._peers.keys()):
            self._peers[name] = _Peer(_salt(self.me, name))
            self._rarity = None
        for name in self._peers.keys() - wanted - self.banned:
            del self._peers[name]
            self._rarity = None

    def choose(self, now: float) -> list[Ask]:
        """What to ask for now; each is to be answered by one of the calls below."""
        asks: list[Ask] = []
        usable: dict[str, _Peer] | None = None
        while not self.whole and self._has_room(now):
            usable = self._usable(now) if usable is None else usable
            if (ask := self._next(now, usable)) is None:
                break
            peer = self._peer(ask.of)
            peer.asked += 1
            if peer.asked >= self.limits.of_one:
                usable.pop(ask.of, None)
            self._under_way[ask] = now
            asks.append(ask)
        return asks

    def polls(self, now: float) -> list[str]:
        """Who is to be asked what it has; each is to be answered by `heard` or `silent`."""
        stale = max(self.limits.poll_seconds, self.limits.poll_seconds_each * len(self._peers))
        whole = all_of(self.count)
        found = [
            name
            for name, peer in self._peers.items()
            if not (peer.polling or peer.banned)
            and now >= peer.poll_at
            and (peer.heard_at is None or peer.silences or now - peer.heard_at >= stale)
            and (peer.have != whole or peer.failures or peer.silences)
        ]
        for name in found:
            self._peers[name].polling = True
        return found

    def heard(self, name: str, have: int, now: float) -> None:
        """A neighbour said what it has."""
        peer = self._peers.get(name)
        if peer is None:
            return
        was_dead = self._dead(peer)
        peer.polling, peer.silences, peer.heard_at = False, 0, now
        peer.poll_at = now + self.limits.poll_seconds
        more = have & ~peer.have
        if peer.have & ~have or was_dead or self._rarity is None:
            self._rarity = None
        elif more:
            self._rarity.add(more)
            self._held |= more
        peer.have = have

    def silent(self, name: str, now: float) -> None:
        """A neighbour did not say what it has."""
        if peer := self._peers.get(name):
            peer.polling = False
            peer.silences += 1
            peer.poll_at = peer.again_at = now + self._pause(peer.silences)
            self._rarity = None

    def received(self, ask: Ask, now: float) -> list[Ask]:
        """The piece is here and right. Returns the other requests for it: they are void."""
        began = self._end(ask)
        peer = self._peer(ask.of)
        peer.failures = peer.busy = 0
        if began is not None:
            peer.seconds = _smoothed(peer.seconds, now - began)
            if ask.of != SOURCE:
                self._seconds = _smoothed(self._seconds, now - began)
        self.have |= 1 << ask.piece
        void = [other for other in self._under_way if other.piece == ask.piece]
        for other in void:
            self._end(other)
        return void

    def busy(self, ask: Ask, now: float) -> None:
        """It serves as many as it can; that is no failure."""
        self._end(ask)
        peer, limits = self._peer(ask.of), self.limits
        seconds = min(limits.busy_seconds * 2**peer.busy, limits.busy_seconds_max)
        peer.busy = min(peer.busy + 1, 10)
        peer.again_at = max(peer.again_at, now + seconds)

    def stumbled(self, ask: Ask, now: float) -> None:
        """No usable answer came."""
        self._end(ask)
        peer = self._peer(ask.of)
        peer.failures += 1
        peer.again_at = max(peer.again_at, now + self._pause(peer.failures))
        peer.poll_at = min(peer.poll_at, now)
        self._rarity = None

    def corrupted(self, ask: Ask, now: float) -> None:
        """What came was not the piece: its sender is not asked again. The source may be."""
        if ask.of == SOURCE:
            self.stumbled(ask, now)
            return
        self._end(ask)
        self._peer(ask.of).banned = True
        self._rarity = None

    def lost_here(self, pieces: int) -> None:
        """These are not here after all: the disk has not kept them."""
        self.have &= ~pieces

    def may_seed(self, now: float, since: float) -> bool:
        """Whether this node is to bring all of the model from the source.

        To be asked where nobody can say what the pieces are, as has been so `since` then.
        """
        turn = int((now - since) / self.limits.lost_seconds)
        self._count_pieces()
        return turn > 0 and shares(self._everyone, 1, turn)[self.me] == 1

    def _peer(self, name: str) -> _Peer:
        if name == SOURCE:
            return self._source
        return self._peers.get(name) or _Peer(0)

    def _end(self, ask: Ask) -> float | None:
        """It is under way no more; returns since when it was."""
        began = self._under_way.pop(ask, None)
        if began is not None:
            self._peer(ask.of).asked -= 1
        return began

    def _pause(self, failures: int) -> float:
        limits = self.limits
        return float(min(limits.stumble_seconds * 2 ** min(failures - 1, 20),
                         limits.stumble_seconds_max))  # fmt: skip

    def _dead(self, peer: _Peer) -> bool:
        after = self.limits.dead_after
        return peer.banned or peer.failures >= after or peer.silences >= after

    def _living(self) -> list[str]:
        return [name for name, peer in self._peers.items() if not self._dead(peer)]

    def _count_pieces(self) -> Rarity:
        """How rare each piece is among living neighbours."""
        if self._rarity is None:
            self._rarity, self._held = Rarity(), 0
            living = self._living()
            self._everyone = tuple(sorted({self.me, *living, *(self._nodes - self.banned)}))
            for name in living:
                self._rarity.add(self._peers[name].have)
                self._held |= self._peers[name].have
        return self._rarity

    @property
    def _patience(self) -> float:
        """Seconds after which a piece is late."""
        if self._seconds is None:
            return self.limits.late_seconds_first
        return max(self.limits.late_seconds_min, self.limits.late_factor * self._seconds)

    def _has_room(self, now: float) -> bool:
        """Whether one piece more may be under way."""
        most, patience = self.limits.at_once, self._patience
        if len(self._under_way) < most:
            return True
        late = sum(now - began > patience for began in self._under_way.values())
        return len(self._under_way) < most + min(late, most)

    def _usable(self, now: float) -> dict[str, _Peer]:
        """Who may be asked for a piece."""
        return {
            name: peer
            for name, peer in self._peers.items()
            if peer.have
            and now >= peer.again_at
            and peer.asked < self.limits.of_one
            and not (peer.banned or peer.silences)
        }

    def _next(self, now: float, usable: dict[str, _Peer]) -> Ask | None:
        asked = 0
        for ask in self._under_way:
            asked |= 1 << ask.piece
        missing = all_of(self.count) & ~self.have
        if lost := self._of_source(missing, asked, now):
            return lost
        if pieces := missing & ~asked & _union(usable.values()):
            piece = self._pick(self._count_pieces().rarest(pieces))
            return Ask(piece, self._whom(piece, usable))
        return self._again(now, usable)

    def _pick(self, pieces: int) -> int:
        """One of them: of this node's share if there is, and not the one that others begin with."""
        mine = pieces & shares(self._everyone, self.count, 0)[self.me]
        start = _salt(self.me, str(self.have.bit_count() + len(self._under_way))) % self.count
        return first_from(mine or pieces, start)

    def _whom(self, piece: int, usable: dict[str, _Peer]) -> str:
        """The neighbour that should have sent it first; of equals one that has not everything."""
        usual = self._seconds or 1.0
        whole = all_of(self.count)
        have = ((name, peer) for name, peer in usable.items() if peer.have >> piece & 1)
        return min(
            have,
            key=lambda it: (
                (it[1].asked + 1) * (it[1].seconds or usual),
                it[1].have == whole,
                (it[1].salt ^ piece * 2654435761) & 0xFFFF,
            ),
        )[0]

    def _of_source(self, missing: int, asked: int, now: float) -> Ask | None:
        """A piece that no living neighbour has, of this node's share; later, of others' too."""
        self._count_pieces()
        lost = missing & ~self._held
        if not lost:
            self._lost, self._turn = None, 0
            return None
        living = self._living()
        if any(self._peers[name].heard_at is None for name in living):
            return None
        count = lost.bit_count()
        if self._lost is None or count < self._lost[0]:
            self._lost = (count, now)
        elif now - self._lost[1] >= self.limits.lost_seconds:
            self._lost, self._turn = (count, now), self._turn + 1
        source = self._source
        most = self.limits.of_source if living else self.limits.at_once
        if source.asked >= most or now < source.again_at:
            return None
        for turn in range(self._turn + 1):
            if pieces := lost & ~asked & shares(self._everyone, self.count, turn)[self.me]:
                return Ask(self._pick(pieces), SOURCE)
        return None

    def _again(self, now: float, usable: dict[str, _Peer]) -> Ask | None:
        """A late piece once more, of somebody else who has it: the end game."""
        patience = self._patience
        once: dict[int, Ask | None] = {}
        for ask in self._under_way:
            once[ask.piece] = ask if ask.piece not in once else None
        for ask in filter(None, once.values()):
            if now - self._under_way[ask] <= patience:
                continue
            others = {name: peer for name, peer in usable.items() if name != ask.of}
            if _union(others.values()) >> ask.piece & 1:
                return Ask(ask.piece, self._whom(ask.piece, others))
        return None


def _union(peers: Iterable[_Peer]) -> int:
    found = 0
    for peer in peers:
        found |= peer.have
    return found


def _smoothed(before: float | None, seconds: float) -> float:
    return seconds if before is None else 0.8 * before + 0.2 * seconds


def _salt(*words: str) -> int:
    """A number that differs from node to node."""
    return int.from_bytes(blake2b(" ".join(words).encode(), digest_size=8).digest())
