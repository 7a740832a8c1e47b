"""Deleting all objects below a prefix, and proving it by listing again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from farm.domain.names import is_input_key, parse_object_key
from farm.ports import ObjectInfo, ObjectStore


@dataclass(slots=True)
class Tally:
    """Objects and bytes by kind."""

    objects: Counter[str] = field(default_factory=Counter)
    size_bytes: Counter[str] = field(default_factory=Counter)

    def add(self, infos: Iterable[ObjectInfo]) -> None:
        """Count what a listing holds; what the farm did not name is `other`."""
        for info in infos:
            key = parse_object_key(info.key)
            kind = key.kind if key else "input" if is_input_key(info.key) else "other"
            self.objects[kind] += 1
            self.size_bytes[kind] += info.size_bytes


def delete_all(store: ObjectStore, prefix: str, deleted: Tally) -> int:
    """Delete what is below a prefix, and count it; returns how much a new listing still holds.

    What was sent of an object in parts goes as well.
    """
    for upload in list(store.uploads(prefix)):
        store.give_up(upload)
    for info in list(store.list(prefix)):
        store.delete(info.key)
        deleted.add([info])
    return count_left(store, prefix)


def count_left(store: ObjectStore, prefix: str) -> int:
    """Objects and unfinished uploads below a prefix."""
    return sum(1 for _ in store.list(prefix)) + sum(1 for _ in store.uploads(prefix))
