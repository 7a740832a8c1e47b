"""`farm purge`: all of a project, objects and rows, gone and shown to be gone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from farm.cli import output, words
from farm.cli.head import require_head
from farm.cli.ledger import head_settings
from farm.cli.options import ConfigFile, DataDir, Json, command
from farm.domain.errors import FarmError, NotFound
from farm.domain.names import batch_prefix, inputs_prefix

if TYPE_CHECKING:
    from farm.domain.batch import Batch
    from farm.objects.purge import Tally
    from farm.ports import Ledger, ObjectStore

PAGE = 500


class NotPurged(FarmError):
    """Something of the project is still there; the text says what."""

    reason = "NOT_PURGED"


@command
def purge(
    project: Annotated[str, typer.Option("--project", help="Whose batches; all must have ended.")],
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it; without this, only what would go is shown.")
    ] = False,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Remove a project's batches with everything: prompts, events, chunks, takes, input files."""
    require_head()
    from farm.fleet_ray.ledger import url_of
    from farm.fleet_ray.settings import Secrets, s3_settings
    from farm.objects.s3 import S3ObjectStore
    from farm.store.ledger import open_ledger

    head = head_settings(config, data_dir)
    store = S3ObjectStore(s3_settings(head, Secrets.load(head)))
    ledger = open_ledger(url_of(head))
    try:
        told = purge_project(ledger, store, url_of(head), project, really=yes)
    finally:
        ledger.close()
    if as_json:
        output.print_json(told)
    else:
        _say(told)
    return output.OK


def purge_project(
    ledger: Ledger, store: ObjectStore, url: str | Path, project: str, *, really: bool
) -> dict[str, Any]:
    """What goes, or what went and what a second look still found.

    Objects go first: should this be interrupted, the rows still say what there is to remove.
    Raises `NotFound` for a project of which nothing is there, `NotPurged`.
    """
    from farm.objects.purge import Tally, count_left, delete_all
    from farm.store.purge import purge_batch

    inputs = inputs_prefix(project)
    batches = _batches(ledger, project, none=count_left(store, inputs) > 0)
    clips = _require_ended(ledger, batches)
    prefixes = {batch.batch_id: batch_prefix(project, batch.batch_id) for batch in batches}
    told = {"project": project, "removed": really, "batches": len(batches), "clips": clips}
    tally = Tally()
    if not really:
        for prefix in (*prefixes.values(), inputs):
            tally.add(store.list(prefix))
        return {**told, **_objects(tally)}
    rows = Counter[str]()
    for batch_id, prefix in prefixes.items():
        if left := delete_all(store, prefix, tally):
            raise NotPurged(f"{left} objects are still there below {prefix}: say it again")
        rows.update(purge_batch(url, batch_id))
    delete_all(store, inputs, tally)
    objects_left = sum(count_left(store, prefix) for prefix in (*prefixes.values(), inputs))
    batches_left = len(prefixes.keys() & {b.batch_id for b in _batches(ledger, project, none=True)})
    if objects_left or batches_left:
        raise NotPurged(
            f"of project {project!r} {objects_left} objects and {batches_left} batches are still "
            "there: say it again"
        )
    found = {"objects_left": objects_left, "batches_left": batches_left}
    return {**told, "rows": dict(rows), **_objects(tally), **found}


def _batches(ledger: Ledger, project: str, *, none: bool = False) -> list[Batch]:
    """All of a project. Raises `NotFound` when there are none, unless there may be."""
    found: list[Batch] = []
    while page := ledger.batches(
        limit=PAGE, project=project, before=found[-1].batch_id if found else ""
    ):
        found += page
    if not found and not none:
        raise NotFound(f"project {project!r} has no batches: see `farm status`")
    return found


def _require_ended(ledger: Ledger, batches: list[Batch]) -> int:
    """How many clips they have. Raises `NotPurged` while some have not ended."""
    progress = ledger.progress([batch.batch_id for batch in batches])
    names = [b.name for b in batches if b.batch_id in progress and progress[b.batch_id].open_clips]
    if names:
        raise NotPurged(
            f"{words.plural(len(names), 'batch')} not over ({', '.join(names[:5])}): "
            "wait, or `farm cancel` first"
        )
    return sum(sum(each.clips.values()) for each in progress.values())


def _objects(tally: Tally) -> dict[str, Any]:
    return {
        "objects": tally.objects.total(),
        "bytes": tally.size_bytes.total(),
        "kinds": {
            kind: {"objects": number, "bytes": tally.size_bytes[kind]}
            for kind, number in sorted(tally.objects.items())
        },
    }


def _say(told: dict[str, Any]) -> None:
    output.print_table(
        ("kind", "objects", "bytes"),
        ((kind, str(n["objects"]), words.size(n["bytes"])) for kind, n in told["kinds"].items()),
        {1, 2},
    )
    counts = ", ".join(words.plural(told[f"{word}s"], word) for word in ("clip", "object"))
    what = f"{words.plural(told['batches'], 'batch')}, {counts}, {words.size(told['bytes'])}"
    if told["removed"]:
        output.say(f"removed {what}; listed again: {told['objects_left']} objects left")
    else:
        output.say(f"would remove {what}; nothing was touched, --yes does it")
