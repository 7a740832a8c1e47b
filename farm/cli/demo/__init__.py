"""`farm demo`: a farm on this machine, from prompts to verified clips."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Final

import typer

from farm.cli import output
from farm.cli.options import Json, command
from farm.domain.errors import FarmError

CLIPS_MAX: Final = 12
"""Rows of mini.csv, which is examples/mini.csv."""
_NEEDED: Final = ("ray", "sqlalchemy", "swift", "starlette", "torch", "diffusers", "av", "PIL")
"""What the extras bring and the demo cannot do without."""


class MissingExtra(FarmError):
    """The demo needs what the client alone does not have."""

    reason = "MISSING_EXTRA"


@command
def demo(
    out: Annotated[Path, typer.Option(help="Everything is written below it.")] = Path("demo"),
    clips: Annotated[int, typer.Option(min=1, max=CLIPS_MAX, help="How many are rendered.")] = (
        CLIPS_MAX
    ),
    as_json: Json = False,
) -> int:
    """Render prompts with a mini Helios on two CPU cards, from start to end.

    Copies helios-mini, which knows coloured shapes, starts a farm, submits prompts of its own
    language, fetches the clips, and sums up what was measured. However it ends, the farm is
    taken down. Needs `heliostat[head,node]`.
    """
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise MissingExtra(
            f"the demo is a whole farm, and {', '.join(missing)} {_are(missing)} not installed:"
            " `pip install 'heliostat[head,node]'` brings what it needs"
        )
    from farm.cli.demo.run import run_demo
    from farm.cli.demo.summary import show

    summary = run_demo(out.absolute(), clips, quiet=as_json)
    if as_json:
        output.print_json(summary)
    else:
        show(summary, out)
    return output.OK


def _are(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"
