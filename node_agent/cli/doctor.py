"""`farm-node doctor`: examines this machine, and says what comes next."""

from __future__ import annotations

import json
import resource
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from node_agent.cli.options import MODELS, ModelsDir, stamps
from node_agent.doctor.finding import Finding, State

_STYLES = {
    State.GOOD: "green",
    State.WARNING: "yellow",
    State.BAD: "bold red",
    State.UNKNOWN: "dim",
}


def doctor(
    model: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A model to hold against its manifest.")
    ] = None,
    farm: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="A farm's gateway to call.")
    ] = None,
    ca: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Certificates that the farm's is from.")
    ] = None,
    spool: Annotated[
        Path, typer.Option(metavar="DIR", help="Where cards keep what is not uploaded yet.")
    ] = Path("~/.heliostat/spool"),
    models_dir: ModelsDir = MODELS,
    require_gpu: Annotated[
        bool, typer.Option("--require-gpu", help="A machine without a GPU is bad.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Examine this machine: is it fit to render, and what comes next? Exit code 1 if it is not."""
    from node_agent.doctor import gather
    from node_agent.doctor.examine import Facts, examine, next_step
    from node_agent.doctor.reach import network

    driver, cards = gather.driver_and_cards()
    try:
        reached = network(farm, ca.expanduser() if ca else None) if farm else None
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--farm") from None
    facts = Facts(
        driver=driver,
        cards=cards,
        memory=gather.memory(),
        group=gather.group(),
        locked_memory=gather.limit(resource.RLIMIT_MEMLOCK),
        open_files=gather.limit(resource.RLIMIT_NOFILE),
        clock=gather.clock(),
        disk=gather.disk(spool.expanduser().absolute()),
        torch=gather.torch(),
        encoder=gather.encoder(),
        model=gather.model(model.expanduser(), stamps(models_dir)) if model else None,
        network=reached,
        require_gpu=require_gpu,
    )
    findings = examine(facts)
    step = next_step(facts, findings)
    fit = not any(finding.state is State.BAD for finding in findings)
    if as_json:
        told = {"fit": fit, "findings": [asdict(each) for each in findings], "next": step}
        typer.echo(json.dumps(told))
    else:
        _show(findings, step)
    if not fit:
        raise typer.Exit(1)


def _show(findings: Sequence[Finding], step: str) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    table = Table(box=box.SIMPLE_HEAD)
    for header in ("check", "state", "what and remedy"):
        table.add_column(header, no_wrap=header != "what and remedy")
    for finding in findings:
        what = Text(finding.what)
        if finding.remedy:
            what.append(f"\n→ {finding.remedy}", style="cyan")
        state = Text(finding.state, style=_STYLES[finding.state])
        table.add_row(Text(finding.name), state, what)
    console.print(table)
    console.print(Text(f"next: {step}", style="bold"))
