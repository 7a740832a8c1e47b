"""Burn-in: a card renders the same chunk for hours, and must neither err nor tire.

`judge` decides (pure), `loop` renders and watches, `golden` compares pictures, `record` remembers.
"""

from pathlib import Path
from typing import Final

FOLDER: Final = Path("~/.heliostat/burn-in")
"""Where a node keeps records and references unless it is said otherwise."""
