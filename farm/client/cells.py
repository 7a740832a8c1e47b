"""Values of JSON and YAML as the text of a cell."""

from __future__ import annotations

import json
from typing import Any


def as_text(value: Any) -> str:
    """A JSON value as a cell: text as it is, null as nothing, everything else as JSON."""
    match value:
        case str():
            return value
        case None:
            return ""
        case True:
            return "true"
        case False:
            return "false"
        case int() | float():
            return repr(value)
    return json.dumps(value, ensure_ascii=False)
