"""A submission's header: what is said of the batch as a whole, checked on what the farm has."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import ParamSpec, TypeVar

from farm.coordinator import asked
from farm.domain.batch import Batch, Budget, Order
from farm.domain.errors import AmbiguousName, BadDecision, NotFound
from farm.domain.fleet import Needs
from farm.domain.profiles import renders_as
from farm.domain.project import DEFAULT_PROJECT
from farm.domain.saved_look import SavedLook, look_for, needs_under
from farm.domain.spec import Problem
from farm.domain.terms import ADDRESS_CHARS_MAX
from farm.domain.values import control_character, shown
from farm.gateway.deliveries import check_delivery
from farm.gateway.desk import Desk
from farm.gateway.grpc_errors import BadRequest
from farm.ports import Ledger
from heliostat.v1 import batch_service_pb2 as batch_pb
from heliostat.v1 import types_pb2 as types_pb

P = ParamSpec("P")
T = TypeVar("T")

NAME_CHARS_MAX = 200
AFTER_MAX = 100
"""Batches that one may wait for."""


def check_shape(header: batch_pb.SubmitHeader) -> None:
    """Raise `BadRequest` for a header that no farm would take."""
    if not header.dry_run and not header.request_id:
        raise BadRequest("the submission has no request_id: choose one for each that you mean")
    if len(header.request_id) > NAME_CHARS_MAX:
        raise BadRequest(f"the request_id has more than {NAME_CHARS_MAX} characters")
    if not header.name.strip():
        raise BadRequest("the batch has no name: give it one, such as the name of its file")
    for what, text in (("batch's name", header.name), ("project's name", header.project)):
        if len(text) > NAME_CHARS_MAX:
            raise BadRequest(f"the {what} has {len(text)} characters: keep to {NAME_CHARS_MAX}")
        if control_character(text) or "\n" in text or "\r" in text:
            raise BadRequest(f"the {what} {shown(text)} holds a control character: remove it")
    for what, text in (("look", header.look), ("place to deliver to", header.deliver_to)):
        if len(text) > ADDRESS_CHARS_MAX:
            raise BadRequest(f"the {what} has more than {ADDRESS_CHARS_MAX} characters")
        if control_character(text) or "\n" in text or "\r" in text:
            raise BadRequest(f"the {what} {shown(text)} holds a control character: remove it")
    for what, count, most in (
        ("batches in after", len(header.after), AFTER_MAX),
        ("limits", len(header.limits), asked.NEEDS_MAX),
    ):
        if count > most:
            raise BadRequest(f"{count} {what} are too many: name {most} at most")


class HeaderCheck:
    """Reads a header against the ledger: the batch's own fields, or every problem with them."""

    def __init__(
        self, header: batch_pb.SubmitHeader, ledger: Ledger, deliveries: Collection[Path] = ()
    ) -> None:
        self._header = header
        self._ledger = ledger
        self.look: SavedLook | None = None
        """The look that its rows keep to; known after `batch`."""
        self._deliveries = deliveries
        self.problems: list[Problem] = []
        """All at row 0, with the option of `farm submit` that means the field as their column."""

    def batch(self, batch_id: str) -> Batch:
        """The batch of the header; of no use when there are problems."""
        header, now = self._header, time.time()
        self._check_project()
        self.look = self._look()
        if deliver_to := header.deliver_to.strip():
            self._check_delivery(deliver_to)
        return Batch(
            batch_id=batch_id,
            name=header.name,
            project=header.project or DEFAULT_PROJECT,
            priority=header.priority,
            created_at=now,
            deadline=self._deadline(now),
            needs=self._needs(),
            limits=self._limits(),
            after=self._after(),
            look=self.look.name if self.look else "",
            first_look=header.first_look,
            order=Order(header.every),
            failures_max=header.failures_max if header.HasField("failures_max") else None,
            output=header.output.strip(),
            webhook=self._told("--webhook", asked.webhook_of, header.webhook) or "",
            budget=self._told("--budget", asked.budget_of, header.budget) or Budget(),
            deliver_to=header.deliver_to.strip(),
        )

    def _check_delivery(self, deliver_to: str) -> None:
        batch_id = ""
        if self._header.resubmit_of:
            with suppress(NotFound, AmbiguousName):  # told elsewhere
                batch_id = self._ledger.find_batch(self._header.resubmit_of).batch_id
        self._told(
            "--deliver-to", check_delivery, deliver_to, self._deliveries, self._ledger, batch_id
        )

    def _check_project(self) -> None:
        project = self._header.project
        if not project or project == DEFAULT_PROJECT:
            return
        known = {each.name for each in self._ledger.projects()}
        if project not in known:
            remedy = f"{asked.did_you_mean(project, known)}`farm project set {project}` makes it"
            self._add(f"--project {project}", f"there is no project {shown(project)}", remedy)

    def _deadline(self, now: float) -> float | None:
        header = self._header
        if not header.HasField("deadline"):
            return None
        seconds = header.deadline.ToMicroseconds() / 1e6
        return self._told("--deadline", asked.deadline_of, seconds, now)

    def _look(self) -> SavedLook | None:
        project = self._header.project or DEFAULT_PROJECT
        locked = {each.name: each.look for each in self._ledger.projects()}.get(project, "")
        known = {look.name: look for look in self._ledger.saved_looks()}
        setting = f"--look {self._header.look}".rstrip()
        return self._told(setting, look_for, self._header.look, locked, project, known)

    def _needs(self) -> Needs:
        needs = self._told("--card-type, --tag", asked.needs_of, self._header.needs) or Needs()
        return self._told("--model, --stack", needs_under, self.look, needs) or Needs()

    def _limits(self) -> tuple[str, ...]:
        if not self._header.limits:
            return ()
        known = {limit.name for limit in self._ledger.limits()}
        for name in self._header.limits:
            self._told(f"--limit {name}", asked.limits_of, [name], known)
        return tuple(dict.fromkeys(self._header.limits))

    def _after(self) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for name in self._header.after:
            try:
                found[self._ledger.find_batch(name).batch_id] = None
            except (NotFound, AmbiguousName) as error:
                what, _, remedy = str(error).partition(": ")
                self._add(f"--after {name}", what, remedy or "see `farm status` for the batches")
        return tuple(found)

    def _told(
        self, column: str, check: Callable[P, T], *given: P.args, **more: P.kwargs
    ) -> T | None:
        """What `check` makes of something, or None and one problem more."""
        try:
            return check(*given, **more)
        except BadDecision as bad:
            what, _, remedy = str(bad).partition(": ")
            self._add(column, what, remedy)
            return None

    def _add(self, column: str, what: str, remedy: str) -> None:
        self.problems.append(Problem(0, column, what, remedy))


async def needs_warnings(desk: Desk, needs: Needs) -> list[Problem]:
    """What a batch asks for that no card of the fleet has now: it waits until one comes."""
    if needs == Needs():
        return []
    return [
        Problem(0, column, what, f"its clips wait until one comes; {there_is}")
        for column, what, there_is in _lacking(needs, (await desk.fleet.get()).cards)
    ]


def _lacking(needs: Needs, cards: Sequence[types_pb.Card]) -> list[tuple[str, str, str]]:
    """(option, what no card has, what there is instead)."""
    found = []
    types = {card.card_type for card in cards if card.card_type}
    for name in needs.card_types:
        if name not in types:
            what = f"the fleet has no card of type {shown(name)}"
            found.append((f"--card-type {name}", what, _there_is("card type", types)))
    most = max((card.vram_bytes for card in cards), default=0)
    if needs.vram_bytes > most:
        what = f"no card of the fleet has {needs.vram_bytes / 1e9:.1f} GB of VRAM"
        found.append(("--vram", what, f"the largest has {most / 1e9:.1f} GB"))
    tags = {tag for card in cards for tag in card.tags}
    for name in needs.tags:
        if name not in tags:
            what = f"no card of the fleet has the tag {shown(name)}"
            found.append((f"--tag {name}", what, _there_is("tag", tags)))
    profiles = {profile for card in cards for profile in card.profiles}
    if needs.profile and needs.profile not in profiles:
        what = f"no card of the fleet has the profile {shown(needs.profile)}"
        there_is = _there_is("profile", profiles)
        found.append((f"--profile {needs.profile}", what, there_is))
    models = {model for card in cards for model in card.models}
    if needs.model and not any(_is_model(needs.model, model) for model in models):
        what = f"no card of the fleet has the model {shown(needs.model)}"
        found.append((f"--model {needs.model}", what, _there_is("model", models)))
    stacks = {card.stack_id for card in cards if card.stack_id}
    if needs.stack_id and not any(
        renders_as(needs.stack_id, card.stack_id, card.profiles) for card in cards
    ):
        what = f"no card of the fleet has the stack {shown(needs.stack_id)}"
        found.append(("--stack", what, _there_is("stack", stacks)))
    return found


def _is_model(wanted: str, model: str) -> bool:
    return wanted == model or (len(wanted) >= 8 and model.startswith(wanted))


def _there_is(what: str, names: Collection[str]) -> str:
    return f"there is {', '.join(sorted(names)[:20])}" if names else f"there is no {what} at all"
