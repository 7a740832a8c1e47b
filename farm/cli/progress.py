"""A batch's progress on standard error: bars on a terminal, lines anywhere else."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from farm.cli import output, words
from farm.domain.values import one_line
from heliostat.v1 import batch_service_pb2 as pb
from heliostat.v1 import fleet_service_pb2 as fleet_pb
from heliostat.v1 import types_pb2 as types


class View(Protocol):
    """Shows what happens to a batch."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def show(self, batch: types.Batch) -> None:
        """The batch as it is now."""
        ...

    def event(self, event: pb.WatchResponse) -> None:
        """A change of one of its clips."""
        ...

    def show_fleet(self, fleet: fleet_pb.GetFleetResponse, cards: Sequence[types.Card]) -> None:
        """The fleet as it is now."""
        ...

    def say(self, text: str) -> None:
        """Anything else worth a line."""
        ...


class LineView:
    """A line for every clip that ends."""

    def __init__(self) -> None:
        self._clips = 0
        self._ended = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def show(self, batch: types.Batch) -> None:
        """Only how many there are."""
        self._clips = words.clips_of(batch)

    def event(self, event: pb.WatchResponse) -> None:
        """A line when the clip ended or starts over."""
        kind = {"done": "done", "fail": "failed", "lost": "lost", "cancel": "cancelled"}
        if event.kind not in kind or not event.clip_name:
            return
        detail = f": {event.detail}" if event.detail and event.kind != "done" else ""
        state = words.clip_state(event.to_state)
        if state in ("done", "failed", "cancelled"):
            self._ended += 1
            count = f" ({min(self._ended, self._clips)} of {self._clips})"
        else:
            count = f", {state} again"
        output.note(one_line(f"clip {event.clip_name} {kind[event.kind]}{detail}{count}"))

    def show_fleet(self, fleet: fleet_pb.GetFleetResponse, cards: Sequence[types.Card]) -> None:
        """Nothing: it would be a line every second."""

    def say(self, text: str) -> None:
        """A line."""
        output.note(one_line(text))


class BarView:
    """Bars for clips, recorded chunks and busy cards, and what is uploaded by the way."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description:>8}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=output.console(err=True),
        )
        self._clips = self._add("clips")
        self._chunks = self._add("recorded")
        self._cards = self._add("cards")
        self._uploaded_before: int | None = None

    def _add(self, what: str) -> TaskID:
        return self._progress.add_task(what, total=None, note="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def show(self, batch: types.Batch) -> None:
        """Move the bars."""
        failed = f"{batch.clips.failed} failed" if batch.clips.failed else ""
        self._progress.update(
            self._clips, total=words.clips_of(batch), completed=words.ended(batch), note=failed
        )
        self._progress.update(
            self._chunks, total=batch.chunks, completed=batch.chunks_done, note="chunks"
        )

    def event(self, event: pb.WatchResponse) -> None:
        """Move the bars when the batch comes with it; say what went wrong."""
        if event.HasField("batch"):
            self.show(event.batch)
        if event.kind in ("fail", "lost") and event.clip_name:
            self.say(f"clip {event.clip_name} {event.kind}: {event.detail}")

    def show_fleet(self, fleet: fleet_pb.GetFleetResponse, cards: Sequence[types.Card]) -> None:
        """Cards at work, the fleet's rate, and bytes uploaded since the view began."""
        busy = sum(bool(card.clip_ids) for card in cards if card.online)
        uploaded = sum(card.telemetry.bytes_uploaded for card in cards)
        if self._uploaded_before is None:
            self._uploaded_before = uploaded
        # A card that started anew counts from zero.
        sent = max(uploaded - self._uploaded_before, 0)
        rate = f"{fleet.rendered_frames_per_second:.2f} FPS, {words.size(sent)} uploaded"
        self._progress.update(self._cards, total=fleet.cards_online, completed=busy, note=rate)

    def say(self, text: str) -> None:
        """A line above the bars."""
        self._progress.console.print(one_line(text), markup=False)
