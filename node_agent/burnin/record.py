"""A burn-in's record: one JSON file, written every few minutes, so that a kill loses little."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from node_agent.burnin.errors import RecordError
from node_agent.burnin.golden import Origin
from node_agent.burnin.judge import Limits, Tally, Window
from node_agent.doctor.finding import Finding, State
from node_agent.files import write_atomic

SECONDS_BETWEEN_WRITES: Final = 120.0
FORMAT_VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What is burnt in, and how."""

    card: str
    """Its UUID, or the device where it has none."""
    name: str
    hostname: str
    origin: Origin
    limits: Limits
    hours: float
    """That are asked for."""


class Recorder:
    """Writes the record of one burn-in, now and then."""

    def __init__(self, path: Path, about: About, clock: Callable[[], float]) -> None:
        """`clock` gives monotonic seconds."""
        self._path = path
        self._about = about
        self._clock = clock
        self._written: float | None = None

    def note(self, tally: Tally, findings: Sequence[Finding]) -> None:
        """Write, unless that was done a moment ago. Raises OSError."""
        if self._written is None or self._clock() - self._written >= SECONDS_BETWEEN_WRITES:
            self.write(tally, findings)

    def write(self, tally: Tally, findings: Sequence[Finding]) -> None:
        """Write now. Raises OSError."""
        self._written = self._clock()
        record = {
            "format_version": FORMAT_VERSION,
            "updated_at": datetime.now(UTC).isoformat(timespec="seconds"),
            **asdict(self._about),
            "passed": passed(tally, findings, self._about.hours),
            "findings": [asdict(finding) for finding in findings],
            "tally": asdict(tally),
        }
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(self._path, (json.dumps(record, indent=2) + "\n").encode())


def passed(tally: Tally, findings: Sequence[Finding], hours: float) -> bool | None:
    """Whether the card has passed; None while its time is not up."""
    if any(finding.state is State.BAD for finding in findings):
        return False
    return True if tally.seconds >= hours * 3600 else None


def resume(path: Path, about: About) -> Tally:
    """What an earlier run of the same card, model and clip has seen; nothing where there was none.

    Raises `RecordError` where the record is of something else, broken, or of a failed burn-in.
    """
    if not path.exists():
        return Tally()
    anew = "; leave --resume away to begin anew"
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if record["format_version"] != FORMAT_VERSION:
            raise RecordError(f"{path}: of another version of heliostat{anew}")
        origin, card, was = Origin(**record["origin"]), record["card"], record["passed"]
        said = {each.name: record["tally"][each.name] for each in fields(Tally)}
        tally = Tally(**{**said, "window": Window(**said["window"])})
    except (ValueError, KeyError, TypeError) as error:
        raise RecordError(f"{path}: not a burn-in's record ({error}){anew}") from error
    if card != about.card or origin != about.origin:
        raise RecordError(f"{path}: of another card, model, stack or size{anew}")
    if was is False:
        raise RecordError(f"{path}: that burn-in failed; mend the card{anew}")
    tally.xid_errors_before = tally.xid_errors or 0  # NVML's count begins anew
    return tally
