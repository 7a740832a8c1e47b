"""A clip's life: its states, the events that move it, and the only code that steps it.

`TRANSITIONS` is the whole state machine; `docs/state-machine.md` draws it and a test holds the
drawing against it. `step` is pure: what to do after a failure or a loss is decided elsewhere
(`farm.plan.retry`) and arrives here as part of the event.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from farm.domain.errors import InvalidTransition
from farm.domain.stacks import UNBOUND, Bond, bond

CHUNK_FRAMES: Final = 33
"""Frames of one chunk, Helios's unit."""


def chunks_of(frames: int) -> int:
    """Chunks that cover `frames`: the last one is rendered whole and trimmed."""
    return -(-frames // CHUNK_FRAMES)


class ClipState(StrEnum):
    """Where a clip is in its life."""

    WAITING = "waiting"
    """Depends on another clip or batch that has not ended."""
    QUEUED = "queued"
    """Waits for a card."""
    LEASED = "leased"
    """A card has the right to render it; rendering and uploading are phases, not states."""
    HELD = "held"
    """Reached a gate (first look) and waits for a person."""
    DONE = "done"
    """One committed, verified take."""
    FAILED = "failed"
    """Given up, with its reason."""
    CANCELLED = "cancelled"
    """Called off by a person or a rule."""


ENDED: Final = frozenset({ClipState.DONE, ClipState.FAILED, ClipState.CANCELLED})
"""States in which nothing happens any more unless somebody asks for it."""


class EventKind(StrEnum):
    """What can happen to a clip; recorded in the events table under this name."""

    SUBMIT = "submit"
    READY = "ready"
    LEASE = "lease"
    CHUNK = "chunk"
    DONE = "done"
    GATE = "gate"
    APPROVE = "approve"
    REJECT = "reject"
    FAIL = "fail"
    LOST = "lost"
    YIELD = "yield"
    CANCEL = "cancel"
    REQUEUE = "requeue"
    STEER = "steer"


S, K = ClipState, EventKind

TRANSITIONS: Final = MappingProxyType(
    {
        (S.WAITING, K.READY): frozenset({S.QUEUED}),
        (S.QUEUED, K.LEASE): frozenset({S.LEASED}),
        (S.LEASED, K.CHUNK): frozenset({S.LEASED}),
        (S.LEASED, K.DONE): frozenset({S.DONE}),
        (S.LEASED, K.GATE): frozenset({S.HELD}),
        (S.HELD, K.APPROVE): frozenset({S.QUEUED}),
        (S.HELD, K.REJECT): frozenset({S.CANCELLED}),
        (S.LEASED, K.FAIL): frozenset({S.QUEUED, S.FAILED}),
        (S.LEASED, K.LOST): frozenset({S.QUEUED, S.FAILED}),
        (S.LEASED, K.YIELD): frozenset({S.QUEUED}),
        (S.QUEUED, K.CANCEL): frozenset({S.CANCELLED}),
        (S.WAITING, K.CANCEL): frozenset({S.CANCELLED}),
        (S.LEASED, K.CANCEL): frozenset({S.CANCELLED}),
        (S.HELD, K.CANCEL): frozenset({S.CANCELLED}),
        (S.FAILED, K.REQUEUE): frozenset({S.QUEUED, S.WAITING}),
        (S.CANCELLED, K.REQUEUE): frozenset({S.QUEUED, S.WAITING}),
        **{(s, K.STEER): frozenset({s}) for s in (S.WAITING, S.QUEUED, S.LEASED, S.HELD)},
    }
)
"""(state, event) → the states it may lead to. What is not here is an error."""


@dataclass(frozen=True, slots=True)
class Work:
    """What decides how much arithmetic a frame takes; many clips share one."""

    height: int
    width: int
    steps: tuple[int, ...] = ()
    """Empty is the model's default."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lease: a card, in one of its incarnations."""

    card_id: str
    incarnation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A clip as the plan sees it; its prompt and columns stay in the store.

    `losses` and both kinds of failures count since the last recorded chunk: whoever makes progress
    is not given up, however often its cards die.
    """

    clip_id: str
    batch_id: str
    ordinal: int
    """Place in its batch, from 1."""
    frames: int
    work: Work
    state: ClipState = ClipState.QUEUED
    attempt: int = 0
    chunks_done: int = 0
    losses: int = 0
    failures: int = 0
    storage_failures: int = 0
    """Of the object store: counted apart, so that an outage spends no other budget."""
    blocked: tuple[str, ...] = ()
    """Cards that failed it: they get it again only when no other card is left."""
    input_failed: tuple[str, ...] = ()
    """Cards on which the clip itself was found to be at fault."""
    holder: Holder | None = None
    not_before: float = 0.0
    """Coordinator's monotonic seconds; a backoff ends then. Not stored: a restart ends them all."""
    reason: str = ""
    loras: str = ""
    """The LoRAs that it renders with, as one word: part of what a card has loaded."""
    quality: str = "standard"
    """Decides which profiles it may be rendered with (`farm.domain.profiles`)."""
    fps: int = 24
    taken_over: int = 0
    """Chunks at its beginning that were recorded for another clip."""
    begun_model: str = ""
    """Digest of the model that its chunks were rendered with; empty: none is, or it is unknown."""
    begun_stack: str = ""
    """The stack id of the card that recorded its first own chunk."""

    @property
    def chunks_left(self) -> int:
        """Chunks that are not recorded yet."""
        return self.chunks - self.chunks_done

    @property
    def chunks(self) -> int:
        """Chunks of the whole clip."""
        return chunks_of(self.frames)

    @property
    def own_frames(self) -> int:
        """Frames of the chunks that were recorded for it, before any are trimmed."""
        return CHUNK_FRAMES * (self.chunks_done - self.taken_over)

    @property
    def bond(self) -> Bond:
        """What it goes on with."""
        return bond(self.begun_model, self.begun_stack) if self.chunks_done else UNBOUND

    @property
    def ended(self) -> bool:
        """True when nothing happens to it any more by itself."""
        return self.state in ENDED


@dataclass(frozen=True, slots=True)
class Ready:
    """What it depended on is done."""

    kind = EventKind.READY


@dataclass(frozen=True, slots=True)
class Leased:
    """A card gets the next attempt."""

    holder: Holder
    kind = EventKind.LEASE


@dataclass(frozen=True, slots=True)
class ChunkRecorded:
    """A segment, a negative and so a checkpoint are in the store, verified."""

    chunk: int
    model_digest: str = ""
    stack_id: str = ""
    kind = EventKind.CHUNK


@dataclass(frozen=True, slots=True)
class Finished:
    """The take is in the store, verified."""

    kind = EventKind.DONE


@dataclass(frozen=True, slots=True)
class GateReached:
    """The chunks up to the gate are rendered; a person looks at them."""

    kind = EventKind.GATE


@dataclass(frozen=True, slots=True)
class Approved:
    """A person lets it go on from its checkpoint."""

    kind = EventKind.APPROVE


@dataclass(frozen=True, slots=True)
class Rejected:
    """A person stops it at its gate."""

    reason: str
    kind = EventKind.REJECT


@dataclass(frozen=True, slots=True)
class RetryAt:
    """It goes back to the queue, not before `not_before` (monotonic seconds)."""

    not_before: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """It is failed for good."""

    reason: str


Outcome = RetryAt | GiveUp
"""What the plan decided after a failure or a loss."""


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """The attempt ended in an error that its card reported."""

    message: str
    outcome: Outcome
    at_fault: bool
    """The clip itself is the cause, not the card."""
    of_storage: bool = False
    """The object store is the cause, neither the clip nor the card."""
    kind = EventKind.FAIL


@dataclass(frozen=True, slots=True)
class AttemptLost:
    """The lease expired, or its holder died."""

    reason: str
    outcome: Outcome
    started: bool
    """False when the clip was only prefetched: then nothing is spent."""
    kind = EventKind.LOST


@dataclass(frozen=True, slots=True)
class Yielded:
    """The card gave it up at a chunk boundary, as asked; nothing is spent."""

    kind = EventKind.YIELD


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A person or a rule called it off."""

    reason: str
    kind = EventKind.CANCEL


@dataclass(frozen=True, slots=True)
class Requeued:
    """A person wants it after all; budgets and block list start anew."""

    waiting: bool = False
    """What it depends on is not done."""
    kind = EventKind.REQUEUE


@dataclass(frozen=True, slots=True)
class Steered:
    """A person gave it another prompt, from a chunk that is to come on."""

    kind = EventKind.STEER


Event = (
    Ready
    | Leased
    | ChunkRecorded
    | Finished
    | GateReached
    | Approved
    | Rejected
    | AttemptFailed
    | AttemptLost
    | Yielded
    | Cancelled
    | Requeued
    | Steered
)


def step(clip: Clip, event: Event) -> Clip:
    """The clip after `event`. Raises `InvalidTransition` when its state does not allow it."""
    allowed = TRANSITIONS.get((clip.state, event.kind))
    if allowed is None:
        raise InvalidTransition(clip.clip_id, clip.state, event.kind)
    after = _apply(clip, event)
    if after.state not in allowed:
        raise InvalidTransition(clip.clip_id, clip.state, event.kind)
    return after


def _apply(clip: Clip, event: Event) -> Clip:
    match event:
        case Leased(holder):
            return replace(
                clip,
                state=S.LEASED,
                attempt=clip.attempt + 1,
                holder=holder,
                reason="",
                not_before=0.0,
            )
        case ChunkRecorded(chunk, model_digest, stack_id):
            if chunk != clip.chunks_done or chunk >= clip.chunks:
                raise InvalidTransition(clip.clip_id, clip.state, event.kind)
            return replace(
                clip, chunks_done=chunk + 1, losses=0, failures=0, storage_failures=0,
                begun_model=clip.begun_model or model_digest,
                begun_stack=clip.begun_stack or stack_id,
            )  # fmt: skip
        case Finished():
            if clip.chunks_done != clip.chunks:
                raise InvalidTransition(clip.clip_id, clip.state, event.kind)
            return replace(clip, state=S.DONE)
        case GateReached():
            return replace(clip, state=S.HELD, holder=None)
        case AttemptFailed() | AttemptLost():
            return _ended_badly(clip, event)
        case Rejected(reason) | Cancelled(reason):
            return replace(clip, state=S.CANCELLED, holder=None, reason=reason)
        case Requeued(waiting):
            return replace(
                clip, state=S.WAITING if waiting else S.QUEUED, losses=0, failures=0,
                storage_failures=0, blocked=(), input_failed=(), reason="", not_before=0.0,
            )  # fmt: skip
        case Ready() | Approved() | Yielded():
            return replace(clip, state=S.QUEUED, holder=None)
        case Steered():
            return clip


def _ended_badly(clip: Clip, event: AttemptFailed | AttemptLost) -> Clip:
    """Count the failure or loss, and follow what the plan decided."""
    if clip.holder is None:
        raise InvalidTransition(clip.clip_id, clip.state, event.kind)
    card = clip.holder.card_id
    if isinstance(event, AttemptFailed):
        reason = event.message
        clip = replace(
            clip,
            failures=clip.failures + (not event.of_storage),
            storage_failures=clip.storage_failures + event.of_storage,
            blocked=_with(clip.blocked, card),
            input_failed=_with(clip.input_failed, card) if event.at_fault else clip.input_failed,
        )
    else:
        reason = event.reason
        clip = replace(clip, losses=clip.losses + (1 if event.started else 0))
    match event.outcome:
        case RetryAt(not_before):
            return replace(clip, state=S.QUEUED, holder=None, not_before=not_before, reason=reason)
        case GiveUp(why):
            return replace(clip, state=S.FAILED, holder=None, reason=why)


def _with(cards: tuple[str, ...], card: str) -> tuple[str, ...]:
    return cards if card in cards else (*cards, card)
