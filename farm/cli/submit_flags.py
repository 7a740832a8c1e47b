"""The options of `farm submit`, which `farm validate` has as well."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farm.cli import plan_options
from farm.cli.options import pairs

if TYPE_CHECKING:
    from farm.client import Planned

FileArgument = Annotated[Path, typer.Argument(help="CSV, TSV, JSON Lines, YAML or JSON.")]
Name = Annotated[str, typer.Option(help="The batch's name. [default: the file's]")]
Project = Annotated[str | None, typer.Option(help="Whose work it is.")]
Priority = Annotated[
    int | None, typer.Option(min=-1000, max=1000, help="Higher goes first. [default: 0]")
]
Map = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="COLUMN=FIELD",
        help="A column of the file is this field; COLUMN=COLUMN keeps it as your own data.",
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="The same for all clips."),
]
Wedge = Annotated[
    list[str] | None,
    typer.Option(
        "--wedge",
        metavar="FIELD=VALUES",
        help="A clip for each: seed=1..4, guidance_scale=4,5; repeated, for each combination.",
    ),
]
Fill = Annotated[
    bool, typer.Option("--fill", help="Fill {column} in prompts from the row's columns.")
]
After = Annotated[
    list[str] | None,
    typer.Option("--after", metavar="BATCH", help="Begin when it has ended; may be repeated."),
]
FirstLook = Annotated[
    bool,
    typer.Option(
        "--first-look", help="Hold each clip after its first chunk, until it is approved."
    ),
]
Output = Annotated[
    str,
    typer.Option(metavar="TEMPLATE", help="Names of files: {sequence}/{shot}_v{version:03}."),
]
Look = Annotated[str, typer.Option(metavar="NAME", help="Keep to this saved look.")]
Fresh = Annotated[
    bool, typer.Option("--fresh", help="Render also what the farm has a take of already.")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitFlags:
    """A file and what is said of it on the command line."""

    file: FileArgument
    name: Name = ""
    project: Project = None
    priority: Priority = None
    column_map: Map = None
    set_fields: Set = None
    wedge: Wedge = None
    fill: Fill = False
    deadline: plan_options.Deadline = None
    after: After = None
    limit: plan_options.Limit = None
    card_type: plan_options.CardType = None
    vram: plan_options.Vram = None
    tag: plan_options.Tag = None
    profile: plan_options.Profile = None
    model: plan_options.Model = None
    stack: plan_options.Stack = None
    first_look: FirstLook = False
    order: plan_options.Order = None
    pause_after: plan_options.PauseAfter = None
    output: Output = ""
    budget: plan_options.Budget = None
    webhook: plan_options.Webhook = None
    look: Look = ""
    deliver_to: plan_options.DeliverTo = None
    fresh: Fresh = False

    @property
    def mapping(self) -> dict[str, str]:
        """Columns of the file by what they mean."""
        return pairs("--map", self.column_map or [])

    def planned(self) -> Planned:
        """What the batch is planned by. Raises `typer.BadParameter`."""
        from farm.client import Planned

        return Planned(
            deadline=plan_options.deadline_of(self.deadline),
            needs=plan_options.needs_of(
                self.card_type, self.vram, self.tag, self.profile, self.model, self.stack
            ),
            limits=tuple(self.limit or ()),
            after=tuple(self.after or ()),
            first_look=self.first_look,
            every=plan_options.every_of(self.order),
            failures_max=self.pause_after,
            output=self.output,
            budget=plan_options.budget_of(self.budget),
            webhook=self.webhook or "",
            look=self.look,
            deliver_to=self.deliver_to or "",
            fresh=self.fresh,
        )

    def asked(self, project_else: str) -> dict[str, Any]:
        """All of it as keywords of `Farm.submit` and `SubmitOptions`."""
        return {
            "name": self.name,
            "project": self.project or "",
            "project_else": project_else,
            "priority": self.priority,
            "column_map": self.mapping,
            "set_fields": pairs("--set", self.set_fields or []),
            "wedge": list(self.wedge or ()),
            "fill": self.fill,
            "planned": self.planned(),
        }
