"""`farm pause`, `farm resume`, `farm amend`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from farm.cli import output, plan_options, words
from farm.cli.options import (
    BatchArgument,
    Ca,
    ConfigFile,
    DataDir,
    Endpoint,
    Json,
    command,
    connect,
    settings,
    with_flags,
)

Priority = Annotated[int | None, typer.Option(min=-1000, max=1000, help="Higher goes first.")]


@command
def pause(
    batch: BatchArgument,
    reason: Annotated[str, typer.Option(help="Why; shown wherever the batch is.")] = "",
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Pause a batch: cards give its clips up at the next chunk boundary, and nothing is lost."""
    from farm.client.plain import plain

    with connect(settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir)) as farm:
        answer = farm.pause(batch, reason=reason)
    if as_json:
        output.print_json(plain(answer))
    else:
        output.say(f"batch {answer.batch_id}: paused, `farm resume {answer.batch_id}` goes on")
    return output.OK


@command
def resume(
    batch: BatchArgument,
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Let a paused batch go on, each clip from its last chunk."""
    from farm.client.plain import plain

    with connect(settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir)) as farm:
        answer = farm.resume(batch)
    if as_json:
        output.print_json(plain(answer))
    else:
        output.say(f"batch {answer.batch_id}: {words.batch_state(answer)}")
    return output.OK


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What `farm amend` can change."""

    priority: Priority = None
    deadline: plan_options.Deadline = None
    no_deadline: Annotated[bool, typer.Option("--no-deadline", help="Take the deadline away.")] = (
        False
    )
    order: plan_options.Order = None
    pause_after: plan_options.PauseAfter = None
    card_type: plan_options.CardType = None
    vram: plan_options.Vram = None
    tag: plan_options.Tag = None
    profile: plan_options.Profile = None
    model: plan_options.Model = None
    stack: plan_options.Stack = None
    any_card: Annotated[
        bool, typer.Option("--any-card", help="Ask nothing of the cards any more.")
    ] = False
    limit: plan_options.Limit = None
    no_limits: Annotated[
        bool, typer.Option("--no-limits", help="Count against no limit any more.")
    ] = False
    first_look: Annotated[
        bool | None,
        typer.Option(
            "--first-look/--no-first-look",
            help="Hold clips after their first chunk; or let them, and those held, go on.",
        ),
    ] = None
    budget: plan_options.Budget = None
    no_budget: Annotated[bool, typer.Option("--no-budget", help="Take the budget away.")] = False
    webhook: plan_options.Webhook = None
    deliver_to: plan_options.DeliverTo = None

    def asked(self) -> dict[str, Any]:
        """Keywords of `Farm.amend`; raises `typer.BadParameter` when nothing is to change."""
        from heliostat.v1 import types_pb2 as types

        needs = plan_options.needs_of(
            self.card_type, self.vram, self.tag, self.profile, self.model, self.stack
        )
        if self.any_card and needs is not None:
            raise typer.BadParameter(
                "nothing can be asked of cards with it", param_hint="--any-card"
            )
        budget = plan_options.budget_of(self.budget)
        if self.no_budget and budget is not None:
            raise typer.BadParameter("a budget and none at once", param_hint="--no-budget")
        found = {
            "priority": self.priority,
            "deadline": plan_options.deadline_of(self.deadline),
            "no_deadline": self.no_deadline or None,
            "every": plan_options.every_of(self.order),
            "failures_max": self.pause_after,
            "needs": types.Needs() if self.any_card else needs,
            "limits": self.limit or None,
            "no_limits": self.no_limits or None,
            "first_look": self.first_look,
            "budget": types.Budget() if self.no_budget else budget,
            "webhook": self.webhook,
            "deliver_to": self.deliver_to,
        }
        said = {name: value for name, value in found.items() if value is not None}
        if not said:
            raise typer.BadParameter("say what to change, such as --priority 5", param_hint="BATCH")
        return said


@command
@with_flags(Changes)
def amend(
    batch: BatchArgument,
    flags: Changes,
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Change what a batch is planned by. What is not named stays.

    What is asked of the cards (--card-type to --stack) is replaced as a whole, and so are the
    limits and the budget. An empty --webhook or --deliver-to is none.
    """
    from farm.client.plain import plain
    from farm.client.submission import merged

    asked = flags.asked()
    with connect(settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir)) as farm:
        answer = farm.amend(batch, **asked)
    for warning in merged((), answer.warnings, ()):
        output.note(f"note: {warning.what}, {warning.remedy}")
    if as_json:
        output.print_json(plain(answer))
    else:
        output.say(f"batch {answer.batch.batch_id}: {words.planned(answer.batch)}")
    return output.OK
