"""What can go wrong, as one tree; the messages are for whoever has to act on them."""

from __future__ import annotations


class FarmError(Exception):
    """Something the farm says no to. `reason` is stable, for programs; the text is for people."""

    reason = "FARM_ERROR"


class InvalidTransition(FarmError):
    """An event that the clip's state does not allow: a defect, or a report that came too late."""

    reason = "INVALID_TRANSITION"

    def __init__(self, clip_id: str, state: str, event: str) -> None:
        super().__init__(f"clip {clip_id} is {state}: {event} is not possible")


class NotFound(FarmError):
    """No such batch, clip or card."""

    reason = "NOT_FOUND"


class AmbiguousName(FarmError):
    """More than one batch goes by this name."""

    reason = "AMBIGUOUS_NAME"


class RequestConflict(FarmError):
    """A request_id that was used before, for something else."""

    reason = "REQUEST_CONFLICT"


class BadDecision(FarmError):
    """Something that cannot be decided so: a value out of range, or a state that forbids it."""

    reason = "BAD_DECISION"


class Fenced(FarmError):
    """Another coordinator has claimed a later epoch; this one must not write any more."""

    reason = "FENCED"


class StaleWrite(FarmError):
    """The store holds another state than the one that the change started from."""

    reason = "STALE_WRITE"


class ObjectStoreError(FarmError):
    """The object store did not do what was asked; the cause is in the text."""

    reason = "OBJECT_STORE"


class ObjectStoreUnavailable(ObjectStoreError):
    """No usable answer after all retries: the same call may succeed later."""

    reason = "OBJECT_STORE_UNAVAILABLE"


class ObjectMissing(ObjectStoreError):
    """No object under this key."""

    reason = "OBJECT_MISSING"


class ObjectMismatch(ObjectStoreError):
    """The object under this key is not the one that was promised: other size or other bytes."""

    reason = "OBJECT_MISMATCH"
