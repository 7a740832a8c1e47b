"""The commands, put together. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import typer

from farm.cli import batches, fleet, head, ledger, purge, submit, watch

app = typer.Typer(
    name="farm",
    help="A render farm for AI video: prompts in, verified clips out.",
    epilog="Exit codes: 0 fine, 1 clips or the farm failed, 2 refused, 3 farm not reachable, "
    "4 not found, 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for body in (
    head.up,
    head.down,
    ledger.backup,
    ledger.restore,
    purge.purge,
    submit.submit,
    fleet.status,
    watch.watch,
    batches.clips,
    batches.fetch,
    batches.cancel,
    batches.retry,
    fleet.cards,
    fleet.nodes,
    head.version,
):
    app.command()(body)
