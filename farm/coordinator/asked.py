"""What people ask for, from its message to the record that it becomes, or to why it cannot be.

Gateways call these before they pass a request on, so that whoever asks is told at once; the
coordinator calls them again on what it knows, and its answer counts.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from difflib import get_close_matches
from types import MappingProxyType
from typing import Final

from farm.domain.batch import Batch, BatchState, Budget, Order, cancelled
from farm.domain.clip import Clip
from farm.domain.errors import BadDecision, NotFound
from farm.domain.fleet import Circuit, Needs, Node, Standing
from farm.domain.hours import Hours
from farm.domain.profiles import profile_in
from farm.domain.project import Limit, Project
from farm.domain.review import Verdict
from farm.domain.saved_look import SavedLook
from farm.domain.schedule import BLEND_CHUNKS_MAX
from farm.domain.spec import BLEND_CHUNKS, LoraUse, PromptMark
from farm.domain.terms import cost_limit, web_address
from farm.domain.values import QUALITIES, BadValue, control_character, shown
from heliostat.v1 import batch_service_pb2 as batch_pb
from heliostat.v1 import fleet_service_pb2 as fleet_pb
from heliostat.v1 import types_pb2 as types_pb

NAME_CHARS_MAX: Final = 200
NOTE_CHARS_MAX: Final = 10_000
NEEDS_MAX: Final = 100
"""Card types, tags or limits that one batch may name."""

STANDINGS: Final = MappingProxyType(
    {types_pb.Standing.Value(f"STANDING_{each.name}"): each for each in Standing}
)
"""The contract's number → ours."""

_VERDICTS: Final = MappingProxyType(
    {types_pb.Review.Verdict.Value(f"VERDICT_{each.name}"): each for each in Verdict}
)


def name_of(what: str, name: str) -> str:
    """A name that something new may have. Raises `BadDecision`; `what` says of what it is."""
    if not name.strip() or name != name.strip():
        raise BadDecision(f"the {what}'s name {shown(name)} is empty or has spaces around it")
    if len(name) > NAME_CHARS_MAX:
        raise BadDecision(f"the {what}'s name has {len(name)} characters: keep to {NAME_CHARS_MAX}")
    if control_character(name) or not name.isprintable():
        raise BadDecision(f"the {what}'s name {shown(name)} holds a control character: remove it")
    return name


def did_you_mean(name: str, known: Collection[str]) -> str:
    """`did you mean "show"? `, or nothing when no name is near."""
    near = get_close_matches(name, known, 1)
    return f"did you mean {shown(near[0])}? " if near else ""


def needs_of(asked: types_pb.Needs) -> Needs:
    """What a batch asks of its cards; types of cards are compared in lower case."""
    for what, names in (("card types", asked.card_types), ("tags", asked.tags)):
        if len(names) > NEEDS_MAX:
            raise BadDecision(f"{len(names)} {what} are too many: name {NEEDS_MAX} at most")
    profile, stack_id = asked.profile.strip(), asked.stack_id.strip()
    if profile and stack_id and (named := profile_in(stack_id)) != profile:
        raise BadDecision(
            f"the stack {stack_id} names the profile {named or 'of no card'}, and {profile} is "
            "asked for: leave one of them out"
        )
    return Needs(
        card_types=_each(text.lower() for text in asked.card_types),
        vram_bytes=asked.vram_bytes,
        tags=_each(asked.tags),
        profile=profile,
        model=asked.model.strip(),
        stack_id=stack_id,
    )


def deadline_of(seconds: float, now: float) -> float:
    """A deadline (Unix seconds) that lies ahead. Raises `BadDecision` with the farm's clock."""
    if seconds <= now:
        raise BadDecision(
            f"the deadline {_clock(seconds)} is past, the farm's clock says {_clock(now)}: "
            "name a time that is still to come"
        )
    return seconds


def limits_of(names: Collection[str], known: Collection[str]) -> tuple[str, ...]:
    """Limits that a batch counts against. Raises `BadDecision` for the first unknown one."""
    for name in names:
        if name not in known:
            raise BadDecision(
                f"there is no limit {shown(name)}: {did_you_mean(name, known)}"
                f"`farm limit set {name} MOST` makes it"
            )
    return _each(names)


def budget_of(asked: types_pb.Budget) -> Budget:
    """What a batch may cost; each limit that is there is above 0. Raises `BadDecision`."""
    try:
        found = {
            field.name: cost_limit(field.name.replace("_", " "), value)
            for field, value in asked.ListFields()
        }
    except BadValue as bad:
        raise BadDecision(f"{bad.what}: {bad.remedy}") from None
    return Budget(**found)


def webhook_of(text: str) -> str:
    """An http(s) URL, or nothing. Raises `BadDecision`."""
    try:
        return web_address(text)
    except BadValue as bad:
        raise BadDecision(f"{bad.what}: {bad.remedy}") from None


def amended(
    batch: Batch, asked: batch_pb.AmendRequest, now: float, limits: Collection[str]
) -> Batch:
    """The batch, planned by what is asked; what is absent stays. Raises `BadDecision`."""
    if batch.state is BatchState.CANCELLED:
        raise BadDecision(cancelled(batch))
    if asked.no_deadline and asked.HasField("deadline"):
        raise BadDecision("a deadline and none at once: choose one of them")
    if asked.no_limits and asked.limits:
        raise BadDecision("limits and none at once: choose one of them")
    deadline, has = batch.deadline, asked.HasField
    if has("deadline"):
        deadline = deadline_of(asked.deadline.ToMicroseconds() / 1e6, now)
    return replace(
        batch,
        priority=asked.priority if has("priority") else batch.priority,
        deadline=None if asked.no_deadline else deadline,
        order=Order(asked.every) if has("every") else batch.order,
        failures_max=asked.failures_max if has("failures_max") else batch.failures_max,
        needs=needs_of(asked.needs) if has("needs") else batch.needs,
        limits=()
        if asked.no_limits
        else (limits_of(asked.limits, limits) if asked.limits else batch.limits),
        first_look=asked.first_look if has("first_look") else batch.first_look,
        budget=budget_of(asked.budget) if has("budget") else batch.budget,
        webhook=webhook_of(asked.webhook) if has("webhook") else batch.webhook,
        deliver_to=asked.deliver_to.strip() if has("deliver_to") else batch.deliver_to,
    )


def mark_of(asked: batch_pb.SteerRequest) -> PromptMark:
    """Another prompt for clips that render. Raises `BadDecision`."""
    prompt = asked.prompt.strip()
    if not prompt:
        raise BadDecision("the new prompt is empty: write one")
    if control := control_character(prompt):
        raise BadDecision(f"the new prompt holds {control}: remove that character")
    if asked.blend_chunks > BLEND_CHUNKS_MAX:
        raise BadDecision(
            f"a blend over {asked.blend_chunks} chunks is too long: choose 1 (at once) to "
            f"{BLEND_CHUNKS_MAX}, or 0 for the usual {BLEND_CHUNKS}"
        )
    return PromptMark(asked.chunk, prompt, asked.blend_chunks or BLEND_CHUNKS)


def steerable(clip: Clip, chunk: int) -> Clip:
    """The clip, which can follow another prompt from a chunk on; 0 is the next one.

    Raises `BadDecision`.
    """
    if clip.ended:
        raise BadDecision(
            f"clip {clip.clip_id} is {clip.state}: only a clip that has not ended takes another "
            "prompt; `farm branch` makes a new version of it"
        )
    first, last = clip.chunks_done, clip.chunks - 1
    if first > last:
        raise BadDecision(f"all {clip.chunks} chunks of clip {clip.clip_id} are recorded already")
    if chunk and not first <= chunk <= last:
        what = "recorded already" if chunk < first else f"beyond its {clip.chunks} chunks"
        choice = f"{max(first, 1)} to {last}, or 0" if last else "0"
        raise BadDecision(
            f"chunk {chunk} of clip {clip.clip_id} is {what}: choose {choice} for the next one"
        )
    return clip


def verdict_of(asked: batch_pb.ReviewRequest) -> Verdict:
    """What a review says. Raises `BadDecision` where it does not say it, or nobody does."""
    if asked.verdict not in _VERDICTS:
        raise BadDecision("the review says neither approved nor rejected: choose one of them")
    if not asked.clips:
        raise BadDecision("the review names no clips: name those whose takes were looked at")
    name_of("reviewer", asked.reviewer)
    if len(asked.note) > NOTE_CHARS_MAX:
        raise BadDecision(f"the note has {len(asked.note)} characters: keep to {NOTE_CHARS_MAX:,}")
    return _VERDICTS[asked.verdict]


def not_reviewable(clips: Sequence[str]) -> str:
    """Why clips without takes cannot be reviewed."""
    some = ", ".join(clips[:10])
    return (
        f"{len(clips)} of the clips are not done and have no take to review ({some}): "
        "wait for them, or see `farm clips`"
    )


def project_of(
    before: Project | None, asked: fleet_pb.SetProjectRequest, looks: Collection[str]
) -> Project:
    """The project after what is asked; what is absent stays. Raises `BadDecision`."""
    project = before or Project(name=name_of("project", asked.name))
    weight = asked.weight if asked.HasField("weight") else project.weight
    if not (weight > 0 and math.isfinite(weight)):
        raise BadDecision(
            f"a weight of {weight:g}: choose a number above 0; twice the weight is twice the share"
        )
    cap = _cards("cap", asked.cap) if asked.HasField("cap") else project.cap
    burst = _cards("burst", asked.burst) if asked.HasField("burst") else project.burst
    cap, burst = None if asked.no_cap else cap, None if asked.no_burst else burst
    if cap is not None and burst is not None and burst < cap:
        raise BadDecision(
            f"a burst of {burst} is below the cap of {cap}, but is what the project may have while "
            f"nobody else waits: choose {cap} or more, or no burst"
        )
    look = asked.look if asked.HasField("look") else project.look
    if look and look not in looks:
        raise BadDecision(
            f"there is no look {shown(look)}: {did_you_mean(look, looks)}"
            f"`farm look save {look} --from CLIP` makes it"
        )
    return replace(project, weight=weight, cap=cap, burst=burst, look=look)


def saved_look_of(asked: types_pb.SavedLook, known: Collection[str]) -> SavedLook:
    """A look to be saved. Raises `BadDecision`: its name is taken, or it pins nothing."""
    name = name_of("look", asked.name)
    if name in known:
        raise BadDecision(
            f"there is a look {shown(name)}, and clips may have been made by it: choose another "
            f"name, such as {shown(name + '-2')}, or `farm look forget {name}`"
        )
    loras = tuple(LoraUse(lora.name, lora.scale) for lora in asked.loras)
    look = SavedLook(
        name=name,
        model=asked.model,
        loras=loras if loras or asked.pins_loras else None,
        quality=asked.quality,
        steps=tuple(asked.steps),
        guidance_scale=asked.guidance_scale if asked.HasField("guidance_scale") else None,
        prompt_prefix=asked.prompt_prefix.strip(),
        negative_prompt=asked.negative_prompt,
        stack_id=asked.stack_id,
        note=asked.note,
    )
    if look == SavedLook(name=name, note=asked.note):
        raise BadDecision(f"the look {shown(name)} pins nothing: say what, or --from CLIP")
    if look.quality and look.quality not in QUALITIES:
        raise BadDecision(f"{shown(look.quality)} is no quality: use {', '.join(QUALITIES)}")
    return look


def limit_of(asked: fleet_pb.SetLimitRequest, known: Collection[str]) -> Limit | None:
    """The limit, or None where it is to be removed. Raises `BadDecision`, `NotFound`."""
    if asked.most < 0:
        raise BadDecision(f"a limit of {asked.most}: choose 1 or more, or 0 to remove it")
    if not asked.most:
        if asked.name not in known:
            raise NotFound(f"there is no limit {shown(asked.name)}: `farm limit list`")
        return None
    return Limit(name_of("limit", asked.name), asked.most)


def circuit_of(
    asked: fleet_pb.SetCircuitRequest, known: Collection[str], nodes: Collection[Node]
) -> Circuit | None:
    """The circuit, or None where it is to be removed. Raises `BadDecision`, `NotFound`."""
    if not (asked.watts >= 0 and math.isfinite(asked.watts)):
        raise BadDecision(f"{asked.watts:g} watts: choose a number above 0, or 0 to remove it")
    if asked.watts:
        return Circuit(name_of("circuit", asked.name), asked.watts)
    if asked.name not in known:
        raise NotFound(f"there is no circuit {shown(asked.name)}: `farm circuit list`")
    if behind := sorted(node.hostname for node in nodes if node.circuit == asked.name):
        raise BadDecision(
            f"circuit {asked.name} has {', '.join(behind[:5])} behind it: "
            f"`farm node circuit NODE --none` takes a node off it"
        )
    return None


def node_of(before: Node | None, asked: fleet_pb.SetNodeRequest, circuits: Collection[str]) -> Node:
    """The node after what is asked; what is absent stays. Raises `BadDecision`, `NotFound`."""
    node = before or Node(hostname=name_of("node", asked.hostname))
    schedule = asked.schedule.strip() if asked.HasField("schedule") else node.schedule
    circuit = asked.circuit if asked.HasField("circuit") else node.circuit
    try:
        Hours.parse(schedule)
    except BadValue as bad:
        raise BadDecision(f"{bad.what}: {bad.remedy}") from None
    if circuit and circuit not in circuits:
        raise NotFound(
            f"there is no circuit {shown(circuit)}: {did_you_mean(circuit, circuits)}"
            f"`farm circuit set {circuit} WATTS` makes it"
        )
    return replace(node, schedule=schedule, circuit=circuit)


def standing_of(number: int) -> Standing:
    """What is asked of nodes or cards. Raises `BadDecision`."""
    if number not in STANDINGS:
        raise BadDecision(f"{number} is no standing: choose open, locked, paused or draining")
    return STANDINGS[types_pb.Standing.ValueType(number)]


def _cards(what: str, number: int) -> int:
    if number < 1:
        raise BadDecision(f"a {what} of {number} cards: choose 1 or more, or --no-{what}")
    return number


def _each(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text.strip() for text in texts if text.strip()))


def _clock(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, tz=UTC):%Y-%m-%d %H:%M:%S} UTC"
