"""Counts which calls to the object store fail, and which objects are not what was promised."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, Final, cast

from prometheus_client import CollectorRegistry, Counter

from farm.domain.errors import ObjectMismatch, ObjectMissing, ObjectStoreError
from farm.ports import ObjectStore

OPERATIONS: Final = (
    "verify", "verify_bytes", "find_size", "get", "put", "delete", "list",
    "begin_upload", "uploads", "uploaded_parts", "join_parts", "give_up",
)  # fmt: skip
"""Calls of the port that make requests."""
_PAGED: Final = frozenset({"list", "uploads"})
"""Those that make theirs while their answer is read."""


def metered(objects: ObjectStore, registry: CollectorRegistry) -> ObjectStore:
    """The same store, its failures counted."""
    return cast("ObjectStore", _Metered(objects, registry))


class _Metered:
    """Hands everything on."""

    def __init__(self, objects: ObjectStore, registry: CollectorRegistry) -> None:
        self._objects = objects
        self._errors = Counter(
            "heliostat_storage_errors",
            "Calls of this gateway to the object store that failed.",
            ["operation"],
            registry=registry,
        )
        self._corruptions = Counter(
            "heliostat_storage_corruptions",
            "Objects whose content was not what was promised.",
            registry=registry,
        )
        for operation in OPERATIONS:
            self._errors.labels(operation)
            setattr(self, operation, self._counted(operation))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._objects, name)

    def _counted(self, operation: str) -> Callable[..., Any]:
        call = getattr(self._objects, operation)

        @wraps(call)
        def once(*args: Any, **more: Any) -> Any:
            with self._watch(operation):
                return call(*args, **more)

        @wraps(call)
        def paged(*args: Any, **more: Any) -> Iterator[Any]:
            with self._watch(operation):
                yield from call(*args, **more)

        return paged if operation in _PAGED else once

    @contextmanager
    def _watch(self, operation: str) -> Iterator[None]:
        try:
            yield
        except ObjectMissing:  # an answer
            raise
        except ObjectMismatch:
            self._corruptions.inc()
            raise
        except ObjectStoreError:
            self._errors.labels(operation).inc()
            raise
