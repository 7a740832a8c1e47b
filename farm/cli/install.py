"""`farm install` and `farm uninstall`: a farm's head as a service of its machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from farm.cli import output
from farm.cli.head import require_head
from farm.cli.head_flags import HeadFlags
from farm.cli.options import ConfigFile, Json, command, with_flags

User = Annotated[
    str, typer.Option("--user", metavar="NAME", help="Whom the service runs as; heliostat is made.")
]
Root = Annotated[
    Path,
    typer.Option(
        "--root", metavar="DIR", help="Write below this directory, and leave systemd alone."
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would be written.")]
Start = Annotated[
    bool, typer.Option("--start/--no-start", help="Start it now, and with the machine.")
]
Purge = Annotated[
    bool, typer.Option("--purge", help="Remove its data, too, and what was changed by hand.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
MACHINE = Path("/")


@command
@with_flags(HeadFlags)
def install(
    flags: HeadFlags,
    user: User = "heliostat",
    root: Root = MACHINE,
    dry_run: DryRun = False,
    start: Start = True,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Have systemd keep this machine a farm's head (docs/operating/bare-metal.md).

    Options, HELIOSTAT_ variables and --config are as those of `farm up`, and are written down. What
    is there already stays as it is; a second call changes nothing.
    """
    from farm.cli.head_service import HEAD_UNIT, HeadService, plan_of
    from heliostat.services import system, told
    from heliostat.services.install import install as carry_out

    require_head()
    root = root.absolute()
    if not dry_run:
        system.require_rights(root, "farm install")
    plan = plan_of(HeadService(user=user, flags=flags.said(), config=config), root)
    found = carry_out(plan, root, dry_run=dry_run, start=start)
    if as_json:
        output.print_json(told.installed_values(found, dry_run=dry_run))
        return output.OK
    for line in told.installed_lines(found, dry_run=dry_run, service=HEAD_UNIT):
        output.say(line)
    return output.OK


@command
def uninstall(
    root: Root = MACHINE, purge: Purge = False, yes: Yes = False, as_json: Json = False
) -> int:
    """Stop the farm, and remove what `farm install` wrote."""
    from farm.cli.head_service import PART
    from heliostat.services import system, told
    from heliostat.services.record import Record
    from heliostat.services.uninstall import uninstall as carry_out

    root = root.absolute()
    system.require_rights(root, "farm uninstall")
    record = Record.load(root, PART)
    if purge and not yes and record is not None:
        typer.confirm(
            f"Remove {record.data}, the ledger and all else that is in it?", abort=True, err=True
        )
    removed = carry_out(root, PART, purge=purge)
    if as_json:
        output.print_json(told.removed_values(removed))
        return output.OK
    for line in told.removed_lines(removed, "farm uninstall"):
        output.say(line)
    return output.OK
