"""The agent's side of a model's rollout: heeds what the farm offers, says what is here.

A thread brings the model and a server gives it on. One process of a node does that, the first
to lock the models' directory; the agents of its other cards look at what comes of it.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from heliostat.v1 import node_service_pb2 as node_pb
from node_agent.models.catalog import catalog
from node_agent.models.info import ModelError
from node_agent.models.manifest import is_name, load_manifest
from node_agent.models.staging import is_there
from node_agent.models.stamps import Stamps
from node_agent.models.swarm.bring import Bringer, Circle, Progress, ask_around
from node_agent.models.swarm.pieces import Tally, known_table
from node_agent.models.swarm.seed import Received, bring_from_source, open_source
from node_agent.models.swarm.server import PieceServer, lower_priority
from node_agent.models.swarm.settings import SupplySettings
from node_agent.models.swarm.store import PieceStore, Stopped
from node_agent.models.verify import glance

LOCK_NAME: Final = ".swarm.lock"
LOOK_SECONDS: Final = 1.0
LOOKER_SECONDS: Final = 5.0
AGAIN_SECONDS: Final = 60.0
"""After a failure it is tried again so much later."""

logger = logging.getLogger(__name__)


class ModelSupply:
    """Brings models to this node as the farm offers them."""

    def __init__(self, settings: SupplySettings, changed: Callable[[], None]) -> None:
        """`changed` is called from another thread, when there is news for the farm."""
        self._settings, self._changed = settings, changed
        self._offer: node_pb.ModelOffer | None = None
        self._told = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None
        self._server: PieceServer | None = None
        self._lock: int | None = None
        self.progress = Progress()
        self._seeding: Received | None = None
        self._problem = ""
        self._whole = ""
        self._pieces_sha256 = ""
        self._here: tuple[str, int, bool] = ("", 0, False)

    def heed(self, offer: node_pb.ModelOffer | None) -> None:
        """What the farm offers now; returns at once."""
        if offer != self._offer:
            self._offer = offer
            self._told.set()
        if offer is not None and self._thread is None:
            self._thread = threading.Thread(target=self._run, name="models", daemon=True)
            self._thread.start()

    def holding(self) -> node_pb.ModelHolding | None:
        """What is here of what is offered; None where nothing is."""
        offer, server, progress = self._offer, self._server, self.progress
        if offer is None:
            return None
        if self._lock is None:  # another agent of the node does it
            digest, size, whole = self._here
            if digest != offer.digest:
                return node_pb.ModelHolding(digest=offer.digest)
            return node_pb.ModelHolding(digest=digest, bytes=size, bytes_total=size, complete=whole)
        whole = self._whole == offer.digest
        seeded = self._seeding.bytes if self._seeding else 0
        total = self._seeding.total if self._seeding else 0
        return node_pb.ModelHolding(
            digest=offer.digest,
            bytes=progress.bytes_total if whole else progress.bytes_here or seeded,
            bytes_total=progress.bytes_total or total,
            complete=whole,
            url=server.url if server else "",
            certificate=server.certificate if server else "",
            pieces_sha256=self._pieces_sha256 if whole else "",
            bytes_from_source=progress.from_source + seeded,
            bytes_from_neighbours=progress.from_neighbours,
            corrupted=progress.corrupted,
            problem=self._problem,
        )

    def close(self) -> None:
        """Stop, for good; the thread ends by itself."""
        self._closed, self._offer = True, None
        self._told.set()

    def join(self, seconds: float) -> None:
        """Wait for what `close` has begun."""
        if self._thread is not None:
            self._thread.join(seconds)

    def _run(self) -> None:
        lower_priority()
        while not self._closed:
            try:
                self._do()
            except Stopped:
                continue
            except (ModelError, OSError) as error:
                self._say(str(error))
                self._wait(AGAIN_SECONDS)
            except Exception as error:
                logger.exception("the model's supply broke")
                self._say(f"{type(error).__name__}: {error}")
                self._wait(AGAIN_SECONDS)
        self._retire()

    def _do(self) -> None:
        """Whatever is to be done now, up to its end. Raises `Stopped`, `ModelError`, OSError."""
        offer = self._offer
        if offer is None:
            self._retire()
            self._wait(LOOK_SECONDS)
        elif not self._claim():
            self._look(offer)
            self._wait(LOOKER_SECONDS)
        elif self._whole == offer.digest and self._server is not None:
            self._server.token = offer.token
            self._wait(LOOK_SECONDS)
        else:
            self._bring(offer)
            self._problem = ""
            self._changed()

    def _bring(self, offer: node_pb.ModelOffer) -> None:
        if not is_name(offer.name):
            raise ModelError(f"{offer.name!r} is no name for a model's directory")
        self._whole, self.progress, self._seeding = "", Progress(), None
        stamps, digest = self._settings.stamps, offer.digest
        directory = self._place(offer)
        server = self._open(offer)
        if not is_there(directory, digest, stamps=stamps):
            found = None
            if offer.pieces_sha256:
                circle = Circle(self._settings.node, self._current, digest)
                found = ask_around(circle, offer.pieces_sha256, self._settings.limits)
            elif not offer.seeds:
                self._wait(LOOK_SECONDS)
                raise Stopped
            if found is None:
                self._seed(offer, directory)
                return
            server.store = store = PieceStore(directory, *found)
            store.have = 0
            source = offer.source
            Bringer(
                circle, store, lambda: open_source(source), self.progress, self._settings.limits
            ).run(directory, stamps)
        self._give(directory, digest)

    def _seed(self, offer: node_pb.ModelOffer, directory: Path) -> None:
        """All of it from the source."""
        self._seeding, tally = Received(lambda: self._wants(offer.digest)), Tally()
        stamps = self._settings.stamps
        bring_from_source(offer.source, offer.digest, directory, stamps, self._seeding, tally)
        self._give(directory, offer.digest, tally)

    def _give(self, directory: Path, digest: str, tally: Tally | None = None) -> None:
        """It is whole: say so, and give it."""
        manifest = load_manifest(directory)
        table = known_table(directory, manifest, self._settings.stamps, tally)
        self._pieces_sha256, self.progress.bytes_total = table.sha256, manifest.size
        if self._server is not None:
            self._server.store = PieceStore(directory, manifest, table)
        self._whole = digest
        logger.info("%s is whole, pieces %s", directory, table.sha256)

    def _place(self, offer: node_pb.ModelOffer) -> Path:
        """Where it is already, by whatever name, or else is to be."""
        models = self._settings.stamps.parent
        for entry in catalog(models, self._settings.stamps):
            if entry.manifest and entry.manifest.digest == offer.digest:
                return entry.directory
        models.mkdir(parents=True, exist_ok=True)
        return models / offer.name

    def _open(self, offer: node_pb.ModelOffer) -> PieceServer:
        """The server, started if it does not run. Raises OSError."""
        if self._server is None:
            rate, address = self._settings.upload_mbit * 1e6 / 8, self._settings.address
            try:
                server = PieceServer(address, self._settings.port, bytes_per_second=rate)
            except OSError as error:
                logger.warning("port %d: %s; taking another", self._settings.port, error)
                server = PieceServer(address, bytes_per_second=rate)
            threading.Thread(target=server.serve_forever, name="pieces", daemon=True).start()
            self._server = server
        self._server.token, self._server.store = offer.token, None
        self._changed()
        return self._server

    def _retire(self) -> None:
        """Nothing is offered: give nothing, and let another agent of the node have its turn."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        self._whole, self._problem = "", ""

    def _claim(self) -> bool:
        """Whether this is the process that does it for its node."""
        if self._lock is None:
            models = self._settings.stamps.parent
            models.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(models / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(descriptor)
                return False
            self._lock = descriptor
        return True

    def _look(self, offer: node_pb.ModelOffer) -> None:
        """See what the other agent has made of it."""
        size, whole = 0, False
        with suppress(ModelError, OSError):
            directory = self._place(offer)
            manifest = load_manifest(directory)
            if manifest.digest == offer.digest:
                whole = glance(directory, manifest, Stamps(self._settings.stamps))[1]
                size = manifest.size if whole else 0
        if (found := (offer.digest, size, whole)) != self._here:
            self._here = found
            self._changed()

    def _wants(self, digest: str) -> bool:
        offer = self._offer
        return offer is not None and offer.digest == digest

    def _current(self) -> node_pb.ModelOffer | None:
        """The offer as it is now, and its token in force."""
        offer = self._offer
        if offer is not None and self._server is not None:
            self._server.token = offer.token
        return offer

    def _say(self, problem: str) -> None:
        logger.warning("the model does not come: %s", problem)
        self._problem = problem
        self._changed()

    def _wait(self, seconds: float) -> None:
        """Until so much later, or a new offer."""
        self._told.wait(seconds)
        self._told.clear()
