"""What a card should run: its model is changed here, its release by whoever starts its agent.

Before its agent is started anew with another release, the card renders the golden chunk with the
one that it runs, so that the other one's can be compared with it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from heliostat.v1 import node_service_pb2 as node_pb
from node_agent.burnin.kept import Kept
from node_agent.card_settings import CardSettings
from node_agent.engine import CannotRender, Engine
from node_agent.examination import Examiner, Sick
from node_agent.models import ModelError, load_manifest
from node_agent.models.catalog import find_model
from node_agent.releases.catalog import installed, running_release
from node_agent.render.child import ChildOptions

logger = logging.getLogger(__name__)

AGAIN_SECONDS: Final = 10.0
"""Between two looks at the node's releases, and between two tries of what did not succeed."""


class Outfitter:
    """Makes one card ready for what it should run."""

    def __init__(
        self,
        settings: CardSettings,
        engine: Engine,
        examiner: Examiner,
        kept: Kept,
        on_change: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.release = running_release()
        """What it runs."""
        self._settings = settings
        self._engine = engine
        self._examiner = examiner
        self._kept = kept
        self._on_change = on_change
        self._clock = clock
        self._wanted = node_pb.Outfit()
        self._ready_for = ""
        self._model_digest = ""
        """Of the model that was last changed to; empty: its node's own."""
        self._failed_at: float | None = None
        self._work: asyncio.Task[None] | None = None
        self._releases: Sequence[node_pb.Release] = ()
        self._looked_at: float | None = None

    @property
    def is_busy(self) -> bool:
        """It renders a reference, or looks for a model."""
        return self._work is not None

    @property
    def ready_for(self) -> str:
        """The release of its outfit, once the agent may be started anew with it; "" till then."""
        return self._ready_for if self._ready_for == self._wanted.release else ""

    @property
    def releases(self) -> Sequence[node_pb.Release]:
        """What the node could run as well."""
        now = self._clock()
        if self._looked_at is None or now - self._looked_at >= AGAIN_SECONDS:
            self._looked_at = now
            found = installed(self._settings.releases) if self._settings.releases else ()
            self._releases = [
                node_pb.Release(version=each.version, python=str(each.python)) for each in found
            ]
        return self._releases

    def want(self, outfit: node_pb.Outfit) -> None:
        """Hear what the card should run."""
        if outfit != self._wanted:
            self._wanted, self._failed_at = outfit, None

    def begin(self, group: asyncio.TaskGroup) -> None:
        """Do what is to be done for it: for a card that holds nothing."""
        patience = 0.0 if self._failed_at is None else self._failed_at + AGAIN_SECONDS
        if self._clock() < patience:
            return
        if self._needs_reference():
            self._work = group.create_task(self._do(self._make_reference(self._wanted.release)))
        elif self._wanted.model_digest != self._model_digest:
            self._work = group.create_task(self._do(self._change_model(self._wanted.model_digest)))

    def _needs_reference(self) -> bool:
        release = self._wanted.release
        return release not in ("", self.release, self._ready_for)

    async def _do(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except (Sick, CannotRender, ModelError, OSError) as error:
            logger.error("not ready for what it should run: %s", error)
            self._failed_at = self._clock()
        finally:
            self._work = None
            self._on_change()

    async def _make_reference(self, release: str) -> None:
        """Keep the golden chunk as it is now, unless it goes back to what rendered the kept one.

        Raises `Sick`, `CannotRender`, OSError.
        """
        if not await asyncio.to_thread(self._kept.by, release, self._examiner.origin):
            reference = await self._examiner.reference()
            await asyncio.to_thread(self._kept.keep, self.release, reference)
        logger.info("ready for release %s", release)
        self._ready_for = release

    async def _change_model(self, digest: str) -> None:
        """Have the render child of another model. Raises `ModelError`."""
        own = self._settings.child
        options = own if not digest else await asyncio.to_thread(self._child_with, digest)
        name = f"model {digest[:12]}" if digest else "its node's own model"
        logger.info("changing to %s", name)
        self._model_digest = digest
        self._engine.change(options, f"changing to {name}")

    def _child_with(self, digest: str) -> ChildOptions:
        """How the child runs with the model of this digest. Raises `ModelError`."""
        own, models = self._settings.child, self._settings.models
        if own.model is not None and load_manifest(own.model).digest == digest:
            return own
        directory = find_model(digest, models, own.stamps) if models else None
        if directory is None:
            raise ModelError(f"{models} has no whole model of digest {digest}")
        make: Callable[[Path], ChildOptions] = self._settings.child_with or (
            lambda model: replace(own, model=model)
        )
        return make(directory)
