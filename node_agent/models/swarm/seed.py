"""A model to this node from its source: how a rollout begins."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from node_agent.models import fetch, hub
from node_agent.models.info import ModelError
from node_agent.models.manifest import is_name, load_manifest
from node_agent.models.sources import HttpSource, S3Source, Source
from node_agent.models.swarm.pieces import Tally
from node_agent.models.swarm.store import Stopped
from node_agent.models.watch import Unwatched

WEB: Final = ("http://", "https://")
S3: Final = "s3://"
TOKEN_VARIABLE: Final = "HELIOSTAT_MODEL_TOKEN"  # noqa: S105 - where it is, not what it is


class Received(Unwatched):
    """Counts the bytes of a fetch, those of an earlier attempt at it too, and may end it."""

    def __init__(self, wanted: Callable[[], bool]) -> None:
        self.bytes = self.total = 0
        self._wanted = wanted
        self._lock = threading.Lock()

    def begin(self, _what: str, total: int) -> None:
        """See `Watch`; the fetch itself is what begins first."""
        self.total = self.total or total

    def advance(self, count: int) -> None:
        """See `Watch`. Raises `Stopped`: what has come is kept."""
        if not self._wanted():
            raise Stopped
        with self._lock:
            self.bytes += count


def open_source(address: str) -> Source:
    """Where files of a model are read from. Raises `ModelError`."""
    if address.startswith(S3):
        return S3Source(address)
    if address.startswith(WEB):
        return HttpSource(address, token=os.environ.get(TOKEN_VARIABLE, ""))
    return hub.HubSource(_commit(address))


def bring_from_source(
    address: str, digest: str, directory: Path, stamps: Path, watch: Received, tally: Tally
) -> None:
    """Bring all of a model. Raises `ModelError`."""
    if address.startswith((*WEB, S3)):
        source = open_source(address)
        manifest = fetch.offered(source, digest=digest)
        fetch.fetch(source, manifest, directory, stamps=stamps, watch=watch, tally=tally)
        return
    commit = _commit(address)
    hub.fetch_from_hub(commit, directory, stamps=stamps, watch=watch, tally=tally)
    if (found := load_manifest(directory).digest) != digest:
        raise ModelError(
            f"{address}: is the model {found}, wanted is {digest}; name the commit that it was"
            " pinned from, as OWNER/NAME@COMMIT"
        )


def _commit(address: str) -> hub.Commit:
    """`OWNER/NAME` or `OWNER/NAME@REVISION` of a hub. Raises `ModelError`."""
    repository, _, revision = address.partition("@")
    if not hub.is_repository(repository) or not is_name(repository.partition("/")[2]):
        raise ModelError(
            f"{address!r} is no source: give OWNER/NAME@COMMIT of a hub, http(s)://HOST:PORT/NAME"
            " or s3://BUCKET/PREFIX"
        )
    return hub.resolve(repository, revision)
