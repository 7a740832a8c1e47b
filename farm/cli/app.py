"""The commands, put together. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import typer

from farm.cli import (
    batches,
    deciding,
    deliveries,
    demo,
    economics,
    estimate,
    fleet,
    head,
    install,
    ledger,
    logs,
    look,
    looks,
    monitoring,
    node,
    pictures,
    purge,
    reels,
    report,
    retaking,
    rollout,
    shares,
    simulate,
    simulate_rollout,
    sizing,
    speed,
    steer,
    submit,
    top,
    usage,
    watch,
    why,
)

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
    install.install,
    install.uninstall,
    demo.demo,
    ledger.backup,
    ledger.restore,
    purge.purge,
    submit.submit,
    submit.validate,
    submit.init,
    retaking.resubmit,
    retaking.retake,
    retaking.extend,
    retaking.branch,
    estimate.estimate,
    fleet.status,
    top.top,
    usage.usage,
    report.report,
    watch.watch,
    batches.clips,
    batches.fetch,
    batches.cancel,
    batches.retry,
    deciding.pause,
    deciding.resume,
    deciding.amend,
    looks.looks,
    looks.review,
    looks.approve,
    looks.reject,
    looks.score,
    steer.steer,
    reels.reels,
    pictures.sheet,
    pictures.preview,
    pictures.review_copy,
    deliveries.rendition,
    deliveries.timeline,
    deliveries.batch_from_cut,
    why.why,
    why.log,
    logs.logs,
    fleet.cards,
    fleet.nodes,
    simulate.simulate,
    simulate_rollout.simulate_rollout,
    economics.economics,
    speed.speed,
    sizing.sizing,
    rollout.upgrade,
    head.version,
):
    app.command()(body)

for name, group in (
    ("node", node.node),
    ("look", look.look),
    ("model", rollout.model),
    ("rollout", rollout.rollout),
    ("project", shares.project),
    ("limit", shares.limit),
    ("circuit", shares.circuit),
    ("monitoring", monitoring.monitoring),
):
    app.add_typer(group, name=name, no_args_is_help=True)

# The same commands by what they are about: `farm batch pause` is `farm pause`.
_BATCH = typer.Typer(help="Batches: the commands about them, as verbs.")
_CLIP = typer.Typer(help="Clips of a batch: the commands about them, as verbs.")
for verb, body in (
    ("submit", submit.submit),
    ("validate", submit.validate),
    ("resubmit", retaking.resubmit),
    ("estimate", estimate.estimate),
    ("status", fleet.status),
    ("watch", watch.watch),
    ("clips", batches.clips),
    ("fetch", batches.fetch),
    ("cancel", batches.cancel),
    ("retry", batches.retry),
    ("pause", deciding.pause),
    ("resume", deciding.resume),
    ("amend", deciding.amend),
    ("looks", looks.looks),
    ("review", looks.review),
    ("report", report.report),
    ("why", why.why),
):
    _BATCH.command(verb)(body)
for verb, body in (
    ("list", batches.clips),
    ("cancel", batches.cancel),
    ("retry", batches.retry),
    ("retake", retaking.retake),
    ("extend", retaking.extend),
    ("branch", retaking.branch),
    ("steer", steer.steer),
    ("approve", looks.approve),
    ("reject", looks.reject),
    ("score", looks.score),
    ("why", why.why),
    ("logs", logs.logs),
):
    _CLIP.command(verb)(body)
app.add_typer(_BATCH, name="batch", no_args_is_help=True)
app.add_typer(_CLIP, name="clip", no_args_is_help=True)
