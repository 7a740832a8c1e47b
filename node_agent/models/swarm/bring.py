"""A model to this node, piece by piece: from neighbours, and from the source what they lack.

One thread keeps the picker and decides, others ask, verify and write. All of them yield to what
renders. What is whole of it may be given on at once: the store is a server's as well.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from heliostat.swarm.picker import SOURCE, Ask, Limits, Picker
from heliostat.v1 import node_service_pb2 as node_pb
from node_agent.models.info import ModelError
from node_agent.models.manifest import Manifest
from node_agent.models.sources import Source, Stumbled
from node_agent.models.staging import staged
from node_agent.models.stamps import Stamps
from node_agent.models.swarm.client import Answer, Busy, Client, Void, Wrong, from_source
from node_agent.models.swarm.pieces import PieceTable, remember
from node_agent.models.swarm.server import lower_priority
from node_agent.models.swarm.store import PieceStore, Stopped

LOOK_SECONDS: Final = 0.25
POLLS_AT_ONCE: Final = 4

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Progress:
    """How a model comes; read by other threads."""

    bytes_here: int = 0
    bytes_total: int = 0
    from_source: int = 0
    from_neighbours: int = 0
    corrupted: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Circle:
    """The neighbours of an offer, as they are now."""

    me: str
    offer: Callable[[], node_pb.ModelOffer | None]
    """None once it is to stop."""
    digest: str
    nodes: tuple[str, ...] = ()
    """All that take part."""
    _clients: dict[str, tuple[bytes, Client]] = field(default_factory=dict)

    def clients(self) -> dict[str, Client]:
        """By name. Raises `Stopped`."""
        offer = self.offer()
        if offer is None or offer.digest != self.digest:
            raise Stopped
        self.nodes = tuple(offer.nodes)
        before, self._clients = self._clients, {}
        for each in offer.neighbours:
            if each.node == self.me or not each.url:
                continue
            said = each.SerializeToString() + offer.token.encode()
            if each.node in before and before[each.node][0] == said:
                self._clients[each.node] = before[each.node]
                continue
            try:
                self._clients[each.node] = (said, Client(each, self.digest, offer.token))
            except ModelError as error:
                logger.warning("a neighbour is left out: %s", error)
        return {name: client for name, (_, client) in self._clients.items()}


def ask_around(circle: Circle, sha256: str, limits: Limits) -> tuple[Manifest, PieceTable] | None:
    """What the model's pieces are, from the first neighbour that knows; None where none does, and
    this node is the one that is to bring all of it from the source. Raises `Stopped`."""
    scout, since = Picker(circle.me, 1, limits=limits), time.monotonic()
    while True:
        clients = circle.clients()
        scout.neighbours(clients, circle.nodes)
        for name in scout.polls(time.monotonic()):
            try:
                manifest = clients[name].manifest(circle.digest)
                table = clients[name].table(manifest, sha256) if manifest else None
                if manifest and table:
                    return manifest, table
                scout.heard(name, 0, time.monotonic())
            except (Stumbled, ModelError) as error:
                logger.info("no table of pieces from %s", error)
                scout.silent(name, time.monotonic())
        if scout.may_seed(time.monotonic(), since):
            return None
        time.sleep(LOOK_SECONDS)


class Bringer:
    """Brings one model; call `run` once."""

    def __init__(
        self,
        circle: Circle,
        store: PieceStore,
        source: Callable[[], Source],
        progress: Progress,
        limits: Limits,
    ) -> None:
        """`source` opens where the model comes from, once that is needed."""
        self._circle, self._store, self._open_source = circle, store, source
        self._progress, self._limits = progress, limits
        self._source: Source | None = None
        self._picker = Picker(circle.me, len(store.pieces), limits=limits)
        self._void: dict[Ask, threading.Event] = {}
        self._news: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._complete: list[str] = []
        self._finishing = 0

    def run(self, directory: Path, stamps: Path) -> None:
        """Return when the model is in its place. Raises `Stopped`, `ModelError`, OSError."""
        store, progress = self._store, self._progress
        with staged(directory, stamps) as partial:
            known = Stamps(stamps)
            store.prepare(partial, known)
            self._picker.have = store.have
            progress.bytes_total, progress.bytes_here = store.manifest.size, store.bytes_here
            self._complete += store.unfinished()
            self._fetch(known)
            known.save()
            store.finish(stamps)
            remember(stamps, store.table)

    def _fetch(self, known: Stamps) -> None:
        """Ask and be answered until every file has its name."""
        most = 2 * self._limits.at_once
        with (
            ThreadPoolExecutor(most, "pieces", lower_priority) as pieces,
            ThreadPoolExecutor(POLLS_AT_ONCE, "polls", lower_priority) as polls,
            ThreadPoolExecutor(1, "files", lower_priority) as files,
        ):
            try:
                while self._complete or self._finishing or not self._picker.whole:
                    clients = self._circle.clients()
                    self._picker.neighbours(clients, self._circle.nodes)
                    for name in self._picker.polls(time.monotonic()):
                        polls.submit(self._poll, clients[name])
                    for ask in self._picker.choose(time.monotonic()):
                        self._void[ask] = void = threading.Event()
                        pieces.submit(self._ask, ask, clients.get(ask.of), void)
                    for path in self._complete:
                        self._finishing += 1
                        files.submit(self._finish, path, known)
                    self._complete.clear()
                    self._heed_news()
            finally:
                for void in list(self._void.values()):
                    void.set()
                for pool in (pieces, polls, files):
                    pool.shutdown(wait=False, cancel_futures=True)

    def _heed_news(self) -> None:
        """Take in what the other threads have found out; wait for it a little."""
        try:
            self._news.get(timeout=LOOK_SECONDS)()
            while True:
                self._news.get_nowait()()
        except queue.Empty:
            return

    def _poll(self, client: Client) -> None:
        picker, name = self._picker, client.name
        try:
            have = client.have(len(self._store.pieces))
        except Stumbled as error:
            logger.info("does not say what it has: %s", error)
            self._news.put(lambda: picker.silent(name, time.monotonic()))
        else:
            self._news.put(lambda: picker.heard(name, have, time.monotonic()))

    def _ask(self, ask: Ask, client: Client | None, void: threading.Event) -> None:
        """Bring a piece and write it, or find out why not."""
        store, picker = self._store, self._picker
        piece = store.pieces[ask.piece]
        try:
            if ask.of == SOURCE:
                answer = from_source(self._from(), piece, lambda: not void.is_set())
            elif client is not None:
                count = len(store.pieces)
                answer = client.piece(ask.piece, piece, count, lambda: not void.is_set())
            else:
                raise Stumbled(f"{ask.of} has left")
            store.write(ask.piece, answer.content)
        except Void:
            return
        except Busy:
            self._news.put(lambda: picker.busy(ask, time.monotonic()))
        except Stumbled as error:
            logger.info("asked elsewhere: %s", error)
            self._news.put(lambda: picker.stumbled(ask, time.monotonic()))
        except Wrong as error:
            logger.warning("refused: %s", error)
            self._news.put(lambda: self._wrong(ask))
        except OSError as error:
            self._news.put(_raising(error))
        else:
            self._news.put(lambda: self._received(ask, answer))

    def _from(self) -> Source:
        """Raises `Stumbled`."""
        try:
            self._source = self._source or self._open_source()
        except ModelError as error:
            raise Stumbled(str(error)) from error
        return self._source

    def _received(self, ask: Ask, answer: Answer) -> None:
        """A right piece is on the disk."""
        now, progress, size = time.monotonic(), self._progress, len(answer.content)
        if ask.of == SOURCE:
            progress.from_source += size
        else:
            progress.from_neighbours += size
            if answer.have is not None:
                self._picker.heard(ask.of, answer.have, now)
        is_new = not self._picker.have >> ask.piece & 1
        for other in self._picker.received(ask, now):
            self._void[other].set()
        if is_new:
            progress.bytes_here += size
            if path := self._store.note(ask.piece):
                self._complete.append(path)

    def _wrong(self, ask: Ask) -> None:
        self._picker.corrupted(ask, time.monotonic())
        name = ask.of or "the source"
        corrupted = self._progress.corrupted
        self._progress.corrupted = {**corrupted, name: corrupted.get(name, 0) + 1}

    def _finish(self, path: str, known: Stamps) -> None:
        """Hold a file that has all of its pieces against the manifest."""
        try:
            bad = self._store.finish_file(path, known)
        except (ModelError, OSError) as error:
            self._news.put(_raising(error))
        else:
            self._news.put(lambda: self._finished(path, bad))

    def _finished(self, path: str, bad: int) -> None:
        self._finishing -= 1
        if bad:
            logger.warning("%s: the disk has lost %d pieces of it", path, bad.bit_count())
            self._picker.lost_here(bad)
            self._progress.bytes_here = self._store.bytes_here


def _raising(error: Exception) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail
