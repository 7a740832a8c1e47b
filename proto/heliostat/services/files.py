"""Files that an installation writes, and what writing them would change."""

from __future__ import annotations

import difflib
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One that root owns."""

    path: Path
    """Where the machine has it, whatever root it is written below."""
    content: str
    secret: bool = False
    """Only root may read it, and it is never shown."""

    @property
    def mode(self) -> int:
        """Its permissions."""
        return 0o600 if self.secret else 0o644

    @property
    def digest(self) -> str:
        """SHA-256 of its content, in hex."""
        return hashlib.sha256(self.content.encode()).hexdigest()

    def is_there(self, root: Path) -> bool:
        """It is there as it should be. Raises OSError."""
        path = below(root, self.path)
        return (
            path.is_file()
            and path.stat().st_mode & 0o777 == self.mode
            and path.read_text(encoding="utf-8") == self.content
        )

    def write(self, root: Path) -> None:
        """Put it there in one step. Raises OSError."""
        path = below(root, self.path)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, self.mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(descriptor, self.mode)
            file.write(self.content)
            file.flush()
            os.fsync(descriptor)
        temporary.replace(path)

    def difference(self, root: Path) -> Iterator[str]:
        """Lines of a unified diff from what is there. Raises OSError."""
        path = below(root, self.path)
        name = str(self.path)
        if self.secret:
            yield f"{'changes' if path.exists() else 'new'}: {name} (secret, mode 0600)"
            return
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        before = name if path.exists() else "/dev/null"
        lines = (old.splitlines(), self.content.splitlines())
        yield from difflib.unified_diff(*lines, before, name, lineterm="")


def below(root: Path, path: Path) -> Path:
    """A path of the machine as it is below a scratch root."""
    return root / path.relative_to("/")


def digest_of(path: Path) -> str:
    """SHA-256 of a small file, in hex. Raises OSError."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
