"""A contact sheet as one HTML file that holds its pictures; browsers write every script."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from farm.media.files import appearing
from farm.media.sheet import Look, lines_of
from farm.media.takes import Take
from farm.media.thumbnails import picture_uri
from farm.media.wedges import Grid, grids

_STYLE: Final = """
body { background: #18181c; color: #ebebeb; font: 15px/1.35 system-ui, sans-serif; margin: 12px }
table { border-spacing: 12px; margin-bottom: 24px } th { text-align: left; font-weight: 600 }
td { vertical-align: top; WIDTH } figure { margin: 0 } img { display: block; width: 100% }
figcaption { overflow-wrap: anywhere } small { color: #a0a0a5; display: block }
"""


def contact_page(takes: Sequence[Take], path: Path, look: Look) -> None:
    """Write the page. Raises OSError."""
    title = html.escape(f"{takes[0].batch or 'Takes'}: {len(takes)} takes")
    style = _STYLE.replace("WIDTH", f"width: {look.width}px; min-width: {look.width}px")
    body = "\n".join(_table(grid, look) for grid in grids(takes, look.columns))
    text = (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8">\n<title>{title}</title>\n'
        f"<style>{style}</style>\n<h1>{title}</h1>\n{body}\n</html>\n"
    )
    with appearing(path) as part:
        part.write_text(text, encoding="utf-8")


def _table(grid: Grid, look: Look) -> str:
    rows = [f"<caption>{html.escape(grid.title)}</caption>"] if grid.title else []
    if grid.across:
        heads = "".join(f"<th>{html.escape(label)}</th>" for label in grid.across)
        rows.append(f"<tr><th></th>{heads}</tr>")
    for label, row in zip(grid.down, grid.cells, strict=True):
        head = f"<th>{html.escape(label)}</th>" if grid.across else ""
        rows.append(f"<tr>{head}{''.join(_cell(take, look) for take in row)}</tr>")
    return "<table>\n" + "\n".join(rows) + "\n</table>"


def _cell(take: Take | None, look: Look) -> str:
    if take is None:
        return "<td></td>"
    picture = picture_uri(take, look.width, quality=85)
    first, *more = map(html.escape, lines_of(take, look.labels))
    small = "".join(f"<small>{line}</small>" for line in more)
    return (
        f'<td><figure><img alt="" src="{picture}">'
        f"<figcaption>{first}{small}</figcaption></figure></td>"
    )
