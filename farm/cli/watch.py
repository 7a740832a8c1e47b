"""`farm watch`, and the waiting of `farm submit --wait`."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Generator
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli import output, words
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
)
from farm.domain.errors import FarmError

if TYPE_CHECKING:
    from farm.client import Farm
    from heliostat.v1 import batch_service_pb2 as pb
    from heliostat.v1 import types_pb2 as types

_LOOK_SECONDS = 1.0
_FAILED_SHOWN = 20


@command
def watch(
    batch: BatchArgument,
    events: Annotated[
        bool, typer.Option("--events", help="Print every event instead of progress bars.")
    ] = False,
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Show a batch's progress until all of its clips have ended. Exit code 1 if any failed."""
    found = settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir)
    with connect(found) as farm:
        known = farm.get(batch)
        if events or as_json:
            return _print_events(farm, known, as_json=as_json)
        return wait_for(farm, known, as_json=False)


def wait_for(farm: Farm, batch: types.Batch, *, as_json: bool) -> int:
    """Show progress until every clip has ended, then the result; 1 when clips failed."""
    try:
        output.note(f"batch {batch.batch_id}: {words.plural(words.clips_of(batch), 'clip')}")
        _show(farm, batch)
        return _result(farm, farm.get(batch.batch_id), as_json=as_json)
    except KeyboardInterrupt:
        output.note(
            f"interrupted: batch {batch.batch_id} goes on on the farm; "
            f"`farm watch {batch.batch_id}` shows it again"
        )
        return output.INTERRUPTED


def _show(farm: Farm, batch: types.Batch) -> None:
    with _view() as view, contextlib.closing(_updates(farm, batch.batch_id)) as updates:
        view.show(batch)
        for update in updates:
            if isinstance(update, str):
                view.say(update)
            elif update is None:
                with contextlib.suppress(FarmError):
                    view.show_fleet(farm.fleet(), farm.cards())
            else:
                view.event(update)


def _updates(farm: Farm, batch_id: str) -> Generator[pb.WatchResponse | str | None]:
    """Events as they come, interruptions as text, and None whenever it is time to look around."""
    # Reading the stream in a thread leaves this one free for the clock and for Ctrl-C.
    inbox: queue.Queue[pb.WatchResponse | str | BaseException | None] = queue.Queue(1000)
    stop = threading.Event()

    def put(item: pb.WatchResponse | str | BaseException | None) -> None:
        while not stop.is_set():
            with contextlib.suppress(queue.Full):
                inbox.put(item, timeout=0.5)
                return

    def read() -> None:
        away = False

        def interrupted(why: str) -> None:
            nonlocal away
            if not away:
                put(f"the farm does not answer ({why}); waiting for it")
            away = True

        try:
            for event in farm.watch(batch_id, on_interrupted=interrupted):
                away = False
                put(event)
                if stop.is_set():
                    return
            put(StopIteration())
        except Exception as error:  # noqa: BLE001 - raised again in the thread that waits
            put(error)

    threading.Thread(target=read, name="watch", daemon=True).start()
    look_at = 0.0
    try:
        while True:
            if time.monotonic() >= look_at:
                yield None
                look_at = time.monotonic() + _LOOK_SECONDS
            try:
                item = inbox.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                continue
            if isinstance(item, StopIteration):
                return
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()


def _print_events(farm: Farm, batch: types.Batch, *, as_json: bool) -> int:
    from farm.client.plain import plain

    try:
        for event in farm.watch(batch.batch_id, on_interrupted=output.note):
            if as_json:
                output.print_json_line(plain(event))
            else:
                output.say(event_line(event))
    except KeyboardInterrupt:
        output.note(f"interrupted: batch {batch.batch_id} goes on on the farm")
        return output.INTERRUPTED
    return output.FAILED if farm.get(batch.batch_id).clips.failed else output.OK


def event_line(event: pb.WatchResponse) -> str:
    """An event as one line."""
    from farm.domain.values import one_line

    at = event.at.ToDatetime().strftime("%H:%M:%S")
    who = f"clip {event.clip_name}" if event.clip_name else "batch"
    where = f" on {event.card_id}" if event.card_id else ""
    detail = f": {event.detail}" if event.detail else ""
    return one_line(f"{at} {who} {event.kind}{where}{detail}")


def _result(farm: Farm, batch: types.Batch, *, as_json: bool) -> int:
    from farm.client.plain import plain
    from heliostat.v1 import types_pb2 as pb_types

    failed: list[types.Clip] = []
    if batch.clips.failed:
        listed = farm.clips(batch.batch_id, [pb_types.CLIP_STATE_FAILED])
        failed = list(islice(listed, _FAILED_SHOWN))
    if as_json:
        output.print_json({"batch": plain(batch), "failed": [plain(clip) for clip in failed]})
    else:
        output.print_table(
            ("batch", "name", "clips", "frames delivered"),
            [
                (
                    batch.batch_id,
                    batch.name,
                    words.counts(batch.clips),
                    f"{batch.frames_delivered:,}",
                )
            ],
            {3},
        )
        for clip in failed:
            output.note(f"clip {clip.name} (row {clip.row}) failed: {clip.reason}")
        if batch.clips.failed:
            output.note(f"`farm retry {batch.batch_id} --failed` queues them again")
    return output.FAILED if batch.clips.failed else output.OK


def _view() -> View:
    from farm.cli.progress import BarView, LineView

    return BarView() if output.console(err=True).is_terminal else LineView()


if TYPE_CHECKING:
    from farm.cli.progress import View
