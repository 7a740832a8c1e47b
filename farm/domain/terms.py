"""What a batch can be bound to, checked: an address for its notices, a limit of its cost."""

from __future__ import annotations

import math
import re
from typing import Final

from farm.domain.values import BadValue, shown

ADDRESS_CHARS_MAX: Final = 2000
"""Of a webhook, or of a place to deliver to."""

_WEB: Final = re.compile(
    r"https?://([^\s/?#@\[\]:\"<>\\^`{|}]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?([/?#][^\s\"<>\\^`{|}]*)?",
    re.IGNORECASE,
)


def web_address(text: str) -> str:
    """An http(s) URL, or nothing. Raises `BadValue`."""
    url = text.strip()
    if len(url) > ADDRESS_CHARS_MAX:
        raise BadValue(f"{len(url)} characters are too many", f"keep to {ADDRESS_CHARS_MAX}")
    if url and not (_WEB.fullmatch(url) and url.isprintable()):
        raise BadValue(f"{shown(url)} is no address of the web", "write https://HOST/PATH")
    return url


def cost_limit(name: str, value: float) -> float:
    """A limit of a budget: any number above 0. Raises `BadValue`."""
    if value > 0 and math.isfinite(value):
        return value
    remedy = "choose a number above 0, or leave it out for no limit"
    raise BadValue(f"a budget of {value:g} {name}", remedy)
