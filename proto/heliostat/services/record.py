"""What an installation has put onto a machine, so that all of it, and no more, goes again."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Final

from heliostat.services.errors import ServiceError
from heliostat.services.files import File, below

STATE: Final = Path("/var/lib/heliostat")
"""Root's; below it are the directories of the services, each its user's."""
PARTS: Final = ("head", "node")


@dataclass(slots=True, kw_only=True)
class Record:
    """Of one part, `head` or `node`."""

    part: str
    files: dict[str, str] = field(default_factory=dict)
    """Path → SHA-256 of what was written."""
    directories: list[str] = field(default_factory=list)
    """That were made for them, the outer ones first."""
    units: list[str] = field(default_factory=list)
    user: str = ""
    """The system user that was made for it; empty: it was there."""
    data: str = ""
    """What the service itself keeps."""

    @classmethod
    def load(cls, root: Path, part: str) -> Record | None:
        """None where the part is not installed. Raises `ServiceError`, OSError."""
        path = below(root, record_path(part))
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise ServiceError(
                f"{path}: cannot be read ({error}): remove the files named in "
                "docs/operating/bare-metal.md by hand, then this one"
            ) from None
        known = {each.name for each in fields(cls)}
        return cls(**{name: value for name, value in content.items() if name in known})

    def as_file(self) -> File:
        """As it is kept."""
        content = json.dumps(asdict(self), indent=2) + "\n"
        return File(path=record_path(self.part), content=content, secret=True)


def record_path(part: str) -> Path:
    """Where a part's record is."""
    return STATE / f"installed-{part}.json"


def others(root: Path, part: str) -> list[Record]:
    """The records of the other parts of this machine. Raises `ServiceError`, OSError."""
    found = (Record.load(root, other) for other in PARTS if other != part)
    return [record for record in found if record is not None]
