"""Proves that reported objects are in the store before the coordinator hears of them."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from enum import StrEnum

from farm.domain.errors import ObjectMismatch, ObjectMissing, ObjectStoreError
from farm.gateway.settings import Limits
from farm.gateway.threads import Threads
from farm.ports import ObjectStore
from heliostat.v1 import types_pb2 as types_pb

_Identity = tuple[str, str, int]
"""Key, SHA-256, size."""


class Found(StrEnum):
    """What became of a verification; the values are a metric's label."""

    OK = "ok"
    MISSING = "missing"
    MISMATCH = "mismatch"
    UNAVAILABLE = "unavailable"
    TIMEOUT = "timeout"

    @property
    def is_at_fault(self) -> bool:
        """True when uploading again is what helps."""
        return self in (Found.MISSING, Found.MISMATCH)


class Verifier:
    """Verifies objects in a pool of threads; each object at most once at a time.

    What takes longer than an exchange may wait goes on by itself: the next report finds it done.
    """

    def __init__(
        self, objects: ObjectStore, limits: Limits, observe: Callable[[Found, float], None]
    ) -> None:
        self._objects = objects
        self._limits = limits
        self._observe = observe
        self._threads = Threads(limits.verify_threads, "verify")
        self._verified: OrderedDict[_Identity, None] = OrderedDict()
        self._under_way: dict[_Identity, asyncio.Task[tuple[Found, str]]] = {}

    async def verify(self, artifact: types_pb.Artifact) -> tuple[Found, str]:
        """What was found of an artifact whose key is set, and why it is not OK."""
        identity = (artifact.key, artifact.sha256, int(artifact.size_bytes))
        if identity in self._verified:
            self._verified.move_to_end(identity)
            return Found.OK, ""
        task = self._under_way.get(identity)
        if task is None:
            if len(self._under_way) >= self._limits.verifications_max:
                limit = self._limits.verifications_max
                return Found.TIMEOUT, f"{limit} objects are being verified (verifications_max)"
            task = asyncio.create_task(self._verify(identity))
            self._under_way[identity] = task
            task.add_done_callback(lambda _: self._under_way.pop(identity, None))
        done, _ = await asyncio.wait([task], timeout=self._limits.verify_seconds_max)
        if done:
            return task.result()
        self._observe(Found.TIMEOUT, self._limits.verify_seconds_max)
        return Found.TIMEOUT, f"object {identity[0]} is still being verified"

    async def _verify(self, identity: _Identity) -> tuple[Found, str]:
        key, sha256, size = identity
        started = time.perf_counter()
        found, reason = Found.OK, ""
        try:
            await self._threads.run(self._objects.verify, key, size, sha256)
        except ObjectMissing as error:
            found, reason = Found.MISSING, str(error)
        except ObjectMismatch as error:
            found, reason = Found.MISMATCH, str(error)
        except ObjectStoreError as error:
            found, reason = Found.UNAVAILABLE, str(error)
        else:
            self._verified[identity] = None
            while len(self._verified) > self._limits.verified_max:
                self._verified.popitem(last=False)
        self._observe(found, time.perf_counter() - started)
        return found, reason

    def close(self) -> None:
        """Verify nothing more."""
        for task in self._under_way.values():
            task.cancel()
        self._threads.close()
