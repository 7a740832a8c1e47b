"""Names that leave the farm: object keys and file names, from names in any script.

An object key says whose object it is and what it holds, so that two writers can share a key
only when they write the same bytes. A file name can be written on Windows, macOS and Linux.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

OBJECT_KINDS: Final = ("segment", "init", "negative", "embeddings", "take", "sidecar")
"""What an object can be."""

SLUG_BYTES_MAX: Final = 64
"""Longest part of a key that comes from a person's name; keys end at 1,024 bytes in S3."""

FILE_NAME_BYTES_MAX: Final = 200
"""UTF-8 bytes; file systems end at 255, and downloads in progress add to the name."""

_SLUG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_NOT_SLUG = re.compile(r"[^A-Za-z0-9_]+")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_EXTENSION = re.compile(r"[a-z0-9]{1,16}")
_KEY = re.compile(
    r"(?P<project>[^/]+)/(?P<batch>[^/]+)/(?P<clip>[^/]+)/v(?P<version>\d{3,})/a(?P<attempt>\d+)/"
    r"(?P<kind>segment|init|negative|embeddings|take|sidecar)-(?P<chunk>\d{5})-(?P<sha16>[0-9a-f]{16})"
    r"\.(?P<ext>[a-z0-9]{1,16})"
)

_INPUTS: Final = "inputs"
_INPUT_KEY = re.compile(rf"[^/]+/{_INPUTS}/[0-9a-f]{{64}}\.[a-z0-9]{{1,16}}")

_FORBIDDEN = frozenset('<>:"/\\|?*')
# Reserved on Windows with any extension, and with spaces before it; ¹²³ count as digits there.
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])\s*", re.IGNORECASE)
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")


def slug(name: str) -> str:
    """A name as one part of a key: `[A-Za-z0-9._~-]`, at most 64 bytes, never `.` or `..`.

    A name that fits stays as it is; any other one ends in `~` and 16 digits of its hash, which
    no name that fits contains. So different names stay different, also those that differ only
    in letters that had to be replaced.
    """
    if _SLUG.fullmatch(name):
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    plain = _NOT_SLUG.sub("-", name).strip("-")[: SLUG_BYTES_MAX - 17]
    return f"{plain or 'x'}~{digest}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectKey:
    """The parts of an object's key; project, batch and clip as slugs."""

    project: str
    batch: str
    clip: str
    version: int
    attempt: int
    kind: str
    chunk: int
    sha16: str
    """The first 16 digits of the content's SHA-256."""
    ext: str

    def __str__(self) -> str:
        return (
            f"{self.project}/{self.batch}/{self.clip}/v{self.version:03}/a{self.attempt}/"
            f"{self.kind}-{self.chunk:05}-{self.sha16}.{self.ext}"
        )


def object_key(
    *,
    project: str,
    batch: str,
    clip: str,
    version: int,
    attempt: int,
    kind: str,
    sha256_hex: str,
    ext: str,
    chunk: int = 0,
) -> str:
    """The key of an attempt's object. Raises ValueError when a part cannot be one.

    `project`, `batch` and `clip` are names in any script; `chunk` is 0 for what belongs to the
    whole clip.
    """
    if kind not in OBJECT_KINDS:
        raise ValueError(f"{kind!r} is no kind of object; there are {', '.join(OBJECT_KINDS)}")
    if version < 1 or attempt < 1 or not 0 <= chunk <= 99_999:
        raise ValueError(
            f"version {version} and attempt {attempt} count from 1, chunk {chunk} from 0 to 99999"
        )
    if not _SHA256.fullmatch(sha256_hex):
        raise ValueError(f"{sha256_hex!r} is no SHA-256: 64 lower-case hexadecimal digits")
    if not _EXTENSION.fullmatch(ext):
        raise ValueError(f"{ext!r} is no file name extension: 1 to 16 of a-z and 0-9, no dot")
    return str(
        ObjectKey(
            project=slug(project),
            batch=slug(batch),
            clip=slug(clip),
            version=version,
            attempt=attempt,
            kind=kind,
            chunk=chunk,
            sha16=sha256_hex[:16],
            ext=ext,
        )
    )


def parse_object_key(key: str) -> ObjectKey | None:
    """The parts of a key that `object_key` made; None for any other key."""
    match = _KEY.fullmatch(key)
    if match is None:
        return None
    parts = match.groupdict()
    return ObjectKey(
        project=parts["project"],
        batch=parts["batch"],
        clip=parts["clip"],
        version=int(parts["version"]),
        attempt=int(parts["attempt"]),
        kind=parts["kind"],
        chunk=int(parts["chunk"]),
        sha16=parts["sha16"],
        ext=parts["ext"],
    )


def input_key(project: str, sha256_hex: str, ext: str) -> str:
    """The key of a file that clips start from. Raises ValueError when a part cannot be one."""
    if not _SHA256.fullmatch(sha256_hex):
        raise ValueError(f"{sha256_hex!r} is no SHA-256: 64 lower-case hexadecimal digits")
    if not _EXTENSION.fullmatch(ext):
        raise ValueError(f"{ext!r} is no file name extension: 1 to 16 of a-z and 0-9, no dot")
    return f"{inputs_prefix(project)}{sha256_hex}.{ext}"


def is_input_key(key: str) -> bool:
    """Whether `input_key` made it."""
    return _INPUT_KEY.fullmatch(key) is not None


def inputs_prefix(project: str) -> str:
    """What the keys of a project's input files begin with; no batch's id is `inputs`."""
    return f"{slug(project)}/{_INPUTS}/"


def batch_prefix(project: str, batch: str) -> str:
    """What the keys of a batch's objects begin with."""
    return f"{slug(project)}/{slug(batch)}/"


def safe_file_name(name: str, version: int, ext: str) -> str:
    """`NAME_v001.EXT` for a clip, writable on Windows, macOS and Linux; at most 200 bytes.

    Letters of every script and emoji stay. What some system forbids becomes `_`: its forbidden
    characters, control and direction characters, code points that are no characters; so does
    a leading dot or dash. Two names may become one: see `unique_file_names`.
    """
    if version < 1:
        raise ValueError(f"version {version}: versions count from 1")
    if not _EXTENSION.fullmatch(ext):
        raise ValueError(f"{ext!r} is no file name extension: 1 to 16 of a-z and 0-9, no dot")
    return _safe(name, f"_v{version:03}.{ext}")


def safe_stem(name: str, version: int) -> str:
    """The same without its ending, with room for one of four characters."""
    return safe_file_name(name, version, "json").removesuffix(".json")


def safe_part(text: str) -> str:
    """`text` as one part of a path, by the same rules; ends in no dot and no space."""
    return _safe(text, "")


def unique_file_names(names: Sequence[str]) -> list[str]:
    """The same names in the same order, told apart where a file system would not.

    Names that differ only in case or in how their accents are composed are one file on Windows
    and macOS. The first keeps its name, the next become `NAME~2.EXT`, `NAME~3.EXT`; the same
    list gives the same names every time.
    """
    wanted = {folded(name) for name in names}
    taken: set[str] = set()
    unique: list[str] = []
    for name in names:
        candidate, count = name, 1
        while folded(candidate) in taken or (count > 1 and folded(candidate) in wanted):
            count += 1
            stem, dot, ext = name.rpartition(".")
            stem, ext = (stem, f"{dot}{ext}") if dot else (ext, "")
            candidate = _fit(stem, f"~{count}{ext}", name)
        taken.add(folded(candidate))
        unique.append(candidate)
    return unique


def _safe(name: str, suffix: str) -> str:
    plain = unicodedata.normalize("NFC", name)
    plain = "".join("_" if _is_unsafe(character) else character for character in plain).strip()
    if not suffix:
        plain = plain.rstrip(". ")
    if not plain.strip("._ "):
        plain = "clip" if suffix else "_"
    if plain[0] in ".-~" or _RESERVED.fullmatch((plain + suffix).split(".", 1)[0]):
        plain = f"_{plain}"
    return _fit(plain, suffix, name)


def _is_unsafe(character: str) -> bool:
    # Zs (spaces) and Cf (joiners that emoji and several scripts need) are allowed.
    return (
        character in _FORBIDDEN
        or character in _BIDI
        or unicodedata.category(character) in {"Cc", "Cs", "Cn", "Co", "Zl", "Zp"}
    )


def folded(name: str) -> str:
    """What file systems that ignore case and composition make of a name."""
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def _fit(stem: str, suffix: str, identity: str) -> str:
    """`stem` and `suffix`, the stem cut where both are too long, with a hash that tells it."""
    if len(stem.encode()) + len(suffix.encode()) <= FILE_NAME_BYTES_MAX:
        return stem + suffix
    digest = hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    room = FILE_NAME_BYTES_MAX - len(suffix.encode()) - 9
    cut = stem.encode()[:room].decode("utf-8", "ignore").rstrip(". ")
    return f"{cut}~{digest}{suffix}"
