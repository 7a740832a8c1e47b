"""Pages of plain HTML: one look for what the gateway shows and what a report holds.

A page is one file: its style is in it, it runs no script and asks nobody for anything.
"""

from __future__ import annotations

from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

_environment: Final = Environment(
    loader=PackageLoader("farm.html", ""),
    autoescape=select_autoescape(default_for_string=True, default=True),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)

CSP: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:"
"""Content-Security-Policy of such a page."""


def render(template: str, **values: Any) -> str:
    """A page from one of this folder's templates; everything in `values` is escaped."""
    return _environment.get_template(template).render(**values)
