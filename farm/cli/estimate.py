"""`farm estimate`: what a file would take and cost, or what is left of a batch."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from farm.cli import output, quote_view
from farm.cli.options import connect, settings
from farm.cli.submit import submit

What = Annotated[
    str, typer.Argument(metavar="FILE|BATCH", help="A file to submit, or a batch's id or name.")
]
_NOT_OURS: Final = ("file", "dry_run", "wait", "request_id")
"""Of what `farm submit` takes."""


def estimate(what: str, **options: Any) -> None:
    """Say what a file would take and cost on today's fleet, or what is left of a batch.

    A file is checked as by `farm submit --dry-run`, whose options it takes; nothing is submitted.
    Of a batch, what was promised and spent is beside it.
    """
    if Path(what).is_file():
        submit(file=Path(what), dry_run=True, **options)
    else:
        _of_batch(what, options)


def _of_batch(batch: str, options: dict[str, Any]) -> None:
    from farm.client.plain import plain

    as_json = bool(options.get("as_json"))
    names = ("endpoint", "ca", "data_dir")
    try:
        found = settings(options.get("config"), **{name: options.get(name) for name in names})
        with connect(found) as farm:
            answer = farm.estimate(batch)
            one = farm.get(batch)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - reported, or raised again
        raise typer.Exit(output.report(error, as_json=as_json)) from None
    if as_json:
        output.print_json(plain(answer))
        return
    quote_view.show(answer.quote)
    for line in quote_view.account(one):
        output.say(line)


def _as_submit() -> None:
    """The command takes what `farm submit` takes, whatever that is."""
    kept = [
        p.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name, p in inspect.signature(submit).parameters.items()
        if name not in _NOT_OURS
    ]
    first = inspect.Parameter("what", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=What)
    estimate.__signature__ = inspect.Signature([first, *kept])  # type: ignore[attr-defined]
    estimate.__annotations__ = {"what": What, **{p.name: p.annotation for p in kept}}


_as_submit()
