"""Measures groups, one after the other; a process of its own, so that memory starts clean.

    python -m bench.gpu.child REQUEST

The request is JSON, as `Request.to_json` writes it. Each line of standard output is a JSON object:
first what is measured on, then a record for each case, also of one that failed or had no time.
"""

from __future__ import annotations

import gc
import json
import logging
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.gpu.cases import STOCK, Case, Group, from_json, named, to_json
from node_agent.render.guard import die_with_parent, take_pipes

if TYPE_CHECKING:
    from bench.gpu.ours import Ours
    from bench.gpu.scale import Scale
    from bench.gpu.slow_link import Link
    from bench.gpu.stock import Stock

logger = logging.getLogger("bench.gpu")

Say = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a child is asked for."""

    groups: Sequence[Group]
    scale: str
    """Name of a `Scale`."""
    device: str
    threads: int
    deadline: float
    """Unix time: no case begins that would not end before it."""
    copies: int | None
    """Of each transfer, for a slow link; None is measured."""
    traces: str
    """Path that traces begin with."""
    parent: int
    """Process id."""

    def to_json(self) -> str:
        """As an argument of the child."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        return json.dumps({**fields, "groups": [to_json(group) for group in self.groups]})

    @classmethod
    def from_json(cls, text: str) -> Request:
        """As it was asked."""
        data = json.loads(text)
        return cls(**{**data, "groups": [from_json(group) for group in data["groups"]]})


def main() -> None:
    """Measure what is asked for."""
    request = Request.from_json(sys.argv[1])
    die_with_parent(request.parent)
    _, out = take_pipes()
    logging.basicConfig(stream=sys.stderr, format="%(message)s")
    logging.getLogger("node_agent").setLevel(logging.INFO)

    def say(record: Mapping[str, Any]) -> None:
        out.write(json.dumps(record, allow_nan=False).encode() + b"\n")

    with out:
        measure(request, say)


def measure(request: Request, say: Say) -> None:
    """All groups."""
    import torch

    from bench.gpu.scale import SCALES
    from bench.gpu.slow_link import SLOW_BYTES_PER_SECOND, Link
    from node_agent.models import ModelError
    from node_agent.render.bench import about, around, subject

    torch.set_num_threads(request.threads)
    try:
        device = subject.device_named(request.device)
    except ModelError as error:
        sys.exit(f"{error}; --rehearse tries the script out on a CPU")
    known: dict[str, Any] = {
        "card": about.card(device),
        "host": about.host(),
        "versions": about.versions(),
    }
    copies = request.copies
    if device.type == "cuda":
        known["copy"] = around.copies(device)
        torch.cuda.empty_cache()
        fast = known["copy"]["bytes_per_second_to_device_pinned"]["median"]
        copies = copies or max(1, round(fast / SLOW_BYTES_PER_SECOND))
    known["slow_link_copies"] = copies or 1
    say(known)
    for group in request.groups:
        _Measuring(request, SCALES[request.scale], device, known["slow_link_copies"], say).all_of(
            group, Link()
        )


class _Measuring:
    """One group on its way."""

    def __init__(self, request: Request, scale: Scale, device: Any, copies: int, say: Say) -> None:
        self._request, self._scale, self._device = request, scale, device
        self._copies, self._say = copies, say
        self._pace = 0.0
        """Seconds of a pass of one lane, as last measured."""

    def all_of(self, group: Group, link: Link) -> None:
        """Load, then every case; what goes wrong is the record of the cases that it concerns.

        Lanes that have no room are halved.
        """
        import torch

        from node_agent.models import ModelError
        from node_agent.render.bench.memory import MemoryWatch, ram_used

        before = ram_used()
        try:
            began = time.perf_counter()
            with MemoryWatch(self._device) as memory:
                subject = _load(group, self._scale, self._device, link)
            load = {
                "seconds": time.perf_counter() - began,
                "bytes_ram_before": before,
                "bytes_ram_peak": memory.bytes_ram_peak,
                **memory.record(),
            }
        except (ModelError, torch.OutOfMemoryError) as error:
            for case in group.cases:
                self._say(named(group, case, failed=_first_line(error)))
            return
        waiting, seen = deque(group.cases), set()
        while waiting:
            case = waiting.popleft()
            if case.name not in seen:
                record = self._one(subject, group, case, link, load)
                self._say(record)
                if "failed" in record and case.lanes > 1:
                    waiting.appendleft(replace(case, lanes=case.lanes // 2))
            seen.add(case.name)
        del subject
        gc.collect()

    def _one(
        self, subject: Stock | Ours, group: Group, case: Case, link: Link, load: Any
    ) -> Mapping[str, Any]:
        import torch

        needed, left = self._needed(group, case), self._request.deadline - time.time()
        if needed > left:
            return named(group, case, skipped=f"takes about {needed:.0f} s; {left:.0f} s are left")
        copies = self._copies if case.slow else 1
        trace = Path(f"{self._request.traces}.{_slug(group, case)}.trace.json.gz")
        failed = ""
        try:
            with link.slowed(copies):
                record = subject.measure(case, trace if case.trace else None)
        except torch.OutOfMemoryError as error:
            failed = _first_line(error)
        if failed:  # the error is gone, and with it all that its frames held
            gc.collect()
            torch.cuda.empty_cache()
            return named(group, case, failed=failed)
        if not case.slow:
            self._pace = record["seconds_per_chunk"]["median"] / sum(case.steps)
        logger.info("%s: %.3f s for a chunk", case.name, record["seconds_per_chunk"]["median"])
        if case.trace:
            record["trace"] = trace.name
        return named(group, case, copies=copies, **subject.about, load=load, **record)

    def _needed(self, group: Group, case: Case) -> float:
        """Seconds, as far as can be said: at the pace of the case before, nothing for the first."""
        rounds = 1 + case.rounds + case.parts
        slower = self._copies if case.slow and group.streamed else 1
        return self._pace * sum(case.steps) * case.lanes * rounds * slower


def _load(group: Group, scale: Scale, device: Any, link: Link) -> Stock | Ours:
    from bench.gpu.ours import Ours
    from bench.gpu.stock import Stock

    return (Stock if group.subject == STOCK else Ours)(group, scale, device, link)


def _slug(group: Group, case: Case) -> str:
    return f"{group.name}-{case.name}".replace(" ", "-").replace(",", "")


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]


if __name__ == "__main__":
    main()
