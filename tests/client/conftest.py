"""A real gateway, coordinator and ledger in a thread of their own, for clients that block."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from farm.client import Farm
from tests.fixtures.gateway import TOKEN, Rig
from tests.fixtures.take_store import take_store  # noqa: F401 - the fixture


class RunningFarm:
    """A farm without Ray or cards, and how to reach it."""

    def __init__(self, path: Path, **rig: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.rig = Rig(path, **rig)
        self.run(self.rig.__aenter__())

    def run(self, call: Coroutine[Any, Any, Any]) -> Any:
        """Run something in the farm's loop."""
        return asyncio.run_coroutine_threadsafe(call, self._loop).result(60)

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.rig.gateway.grpc_port}"

    def close(self) -> None:
        self.run(self.rig.__aexit__())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[RunningFarm]:
    data = tmp_path / "farm"
    data.mkdir()
    running = RunningFarm(data)
    try:
        yield running
    finally:
        running.close()


@pytest.fixture
def farm(running: RunningFarm) -> Iterator[Farm]:
    with Farm(running.endpoint, TOKEN) as farm:
        yield farm
