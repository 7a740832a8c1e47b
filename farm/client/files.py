"""Opens a submission's file, whatever kind it is, and says when it is not one at all.

The kind is the ending's: `.csv` `.tsv` (rows under a header), `.jsonl` `.ndjson` (an object per
line), `.yaml` `.yml` `.json` (a list of clips). CSV and JSON Lines are read row by row.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from farm.client.csv_file import CsvFile
from farm.client.json_file import JsonLinesFile
from farm.client.rowfile import SAVE_AS_UTF8, RowFile, Unreadable, whole_file
from farm.client.yaml_file import DocumentFile

__all__ = ["RowFile", "Unreadable", "open_rows"]

_KINDS: Final = ".csv, .tsv, .jsonl, .yaml or .json"
_HEAD_BYTES: Final = 65_536
_MAGIC: Final = (
    (b"PK\x03\x04", "a workbook or an archive (Excel, Numbers, ZIP)"),
    (b"\xd0\xcf\x11\xe0", "an old Office document"),
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"\x1f\x8b", "compressed by gzip"),
    (b"\x7fELF", "a program"),
    (b"SQLite format 3", "a database"),
)


def open_rows(path: Path, mapped: Iterable[str] = ()) -> RowFile:
    """The file's columns and rows. Raises `Unreadable` when there is nothing to be read.

    `mapped` are columns that the user has named: they help to tell a header's delimiter.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEAD_BYTES)
        _check_head(head)
        match path.suffix.lower():
            case ".csv" | ".tsv":
                return CsvFile.open(path, mapped)
            case ".jsonl" | ".ndjson":
                return JsonLinesFile.open(path)
            case ".yaml" | ".yml" | ".json":
                return DocumentFile.open(path)
        ending = path.suffix or "no ending"
        raise whole_file(f"{ending} is no kind of file that the farm reads", f"use {_KINDS}")
    except FileNotFoundError:
        raise whole_file("there is no such file", "check its name") from None
    except IsADirectoryError:
        raise whole_file("this is a directory", "name a file in it") from None
    except PermissionError:
        raise whole_file("it may not be read", "give yourself the permission to") from None
    except OSError as error:
        raise whole_file(f"it cannot be read ({error.strerror})", "check the disk") from None


def _check_head(head: bytes) -> None:
    """Refuse what is no text by its first bytes."""
    if not head.strip():
        raise whole_file("the file is empty", "write a header and a row for each clip")
    for magic, what in _MAGIC:
        if head.startswith(magic):
            raise whole_file(f"the file is no text but {what}", "export it as CSV in UTF-8")
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise whole_file("the file is UTF-16 and not UTF-8", SAVE_AS_UTF8)
    if b"\0" in head:
        raise whole_file("the file is binary and no text", "export it as CSV in UTF-8")
