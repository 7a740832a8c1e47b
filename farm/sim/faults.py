"""What goes wrong in a simulated farm, and how it is written: `card-death=0.02/h,input=0.1%`."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field, fields
from typing import Final

from farm.domain.errors import FarmError

_UNIT_SECONDS: Final = {"min": 60.0, "h": 3600.0, "d": 86_400.0}


class BadFaults(FarmError):
    """Failures that cannot be simulated as they are written."""

    reason = "BAD_FAILURES"


def _rate(text: str) -> float:
    return field(default=0.0, metadata={"rate": True, "what": text})


def _share(text: str) -> float:
    return field(default=0.0, metadata={"rate": False, "what": text})


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Rates are per second, shares 0..1. All are 0 unless they are named."""

    card_death: float = _rate("kill -9 of one card's agent; it starts anew")
    card_freeze: float = _rate("one card's agent stands still for up to two minutes")
    card_twin: float = _rate("a second agent of one card, while the first goes on for a while")
    node_death: float = _rate("a machine is gone, for 2 to 20 minutes")
    partition: float = _rate("a machine reaches the farm no more, in one direction or both")
    coordinator_restart: float = _rate("the coordinator dies and starts over the same ledger")
    clock_step: float = _rate("the head's wall clock jumps by up to an hour")
    lost_request: float = _share("exchanges that never reach the farm")
    lost_reply: float = _share("exchanges whose answer never reaches the card")
    late: float = _share("exchanges that reach the farm up to two minutes late")
    duplicate: float = _share("exchanges that reach the farm twice")
    commit_error: float = _share("commits that the disk fails, before or after it has them")
    upload_again: float = _share("reports whose object the farm does not find")
    slow: float = _share("cards that take three times as long")
    poison: float = _share("clips that fail as input on every card")
    input: float = _share("chunks that fail as the clip's own fault")
    oom: float = _share("chunks that run out of GPU memory")
    node: float = _share("chunks in which the render child dies")
    storage: float = _share("chunks that the node's disk fails")
    stall: float = _share("chunks that never end")


_FIELDS: Final = {each.name.replace("_", "-"): each for each in fields(Faults)}
_VALUE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(%|/\s*(?:min|h|d))?")


def parse_faults(text: str) -> Faults:
    """Raises `BadFaults`, which says what can be written."""
    found: dict[str, float] = {}
    for part in (part.strip() for part in text.split(",")):
        if not part:
            continue
        name, equals, value = (side.strip() for side in part.partition("="))
        if not equals or not value:
            raise BadFaults(f"{part!r}: write a failure as NAME=VALUE, such as card-death=0.02/h")
        if name not in _FIELDS:
            raise BadFaults(_unknown(name))
        if _FIELDS[name].name in found:
            raise BadFaults(f"{name} is given twice")
        found[_FIELDS[name].name] = _number(name, value)
    return Faults(**found)


def _number(name: str, text: str) -> float:
    match = _VALUE.fullmatch(text)
    is_rate = _FIELDS[name].metadata["rate"]
    unit = (match[2] or "").replace(" ", "") if match else ""
    if match is None or is_rate != unit.startswith("/"):
        raise BadFaults(
            f"{name}={text}: it is a rate, write it per hour or day, as in {name}=0.02/h"
            if is_rate
            else f"{name}={text}: it is a share, write it as in {name}=0.5% or {name}=0.005"
        )
    number = float(match[1])
    if is_rate:
        return number / _UNIT_SECONDS[unit[1:]]
    share = number / 100 if unit == "%" else number
    if share > 1:
        raise BadFaults(f"{name}={text}: a share is at most 100%")
    return share


def _unknown(name: str) -> str:
    close = difflib.get_close_matches(name, _FIELDS, n=1)
    meant = f", did you mean {close[0]}?" if close else ""
    return f"{name or 'a failure without a name'} is no failure known here{meant} \
({', '.join(_FIELDS)})"
