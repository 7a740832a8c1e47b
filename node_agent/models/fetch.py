"""A pinned model from a source: every file verified before it gets its name."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from tenacity import (
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_after_attempt,
    wait_random_exponential,
)

from node_agent.files import sha256_of_file, sync_file, write_atomic
from node_agent.models.info import ModelError
from node_agent.models.manifest import (
    MANIFEST_NAME,
    Manifest,
    ModelFile,
    is_allowed,
    parse_manifest,
)
from node_agent.models.sources import Source, Stumbled
from node_agent.models.staging import (
    bytes_to_come,
    is_there,
    remove_others,
    require_space,
    staged,
)
from node_agent.models.stamps import Stamps
from node_agent.models.swarm.pieces import PieceHasher, Tally, piece_bytes_of
from node_agent.models.verify import listed, verify
from node_agent.models.watch import UNWATCHED, Watch

FILES_AT_ONCE: Final = 4
PART_SUFFIX: Final = ".part"
_READ_BYTES: Final = 1 << 20

_T = TypeVar("_T")


class _Corrupted(Exception):
    """What came is not what the manifest says."""


class _Stopped(Exception):
    """Another file has failed, or the user has had enough."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a file is asked for again, and how long is waited before."""

    tries_max: int = 8
    """In a row without a single byte more."""
    corrupted_max: int = 3
    """Whole files that turned out to be something else."""
    wait_seconds_max: float = 30


PATIENT: Final = Patience()


def offered(source: Source, *, digest: str = "", patience: Patience = PATIENT) -> Manifest:
    """What a source offers. Raises `ModelError` when it is not the model of `digest`."""
    content = _patiently(patience, source.manifest)
    manifest = parse_manifest(content, f"{source.address}/{MANIFEST_NAME}")
    if digest and manifest.digest != digest:
        raise ModelError(
            f"{source.address}: offers {manifest.name} with digest {manifest.digest},"
            f" wanted is {digest}; fetch from another source"
        )
    for file in manifest.files:
        if not is_allowed(file.path):
            raise ModelError(
                f"{source.address}: its manifest names {file.path}, which no model may have;"
                " fetch from another source"
            )
    return manifest


def fetch(
    source: Source,
    manifest: Manifest,
    directory: Path,
    *,
    stamps: Path | None = None,
    watch: Watch = UNWATCHED,
    patience: Patience = PATIENT,
    tally: Tally | None = None,
) -> bool:
    """Bring the model of `manifest` to `directory`; returns whether anything had to be fetched.

    Goes on from what an earlier call left, and repairs a damaged copy; `tally` gets the pieces of
    what comes. Raises `ModelError` when the directory holds something else, the disk is short, or
    the source does not give what its manifest promises.
    """
    if is_there(directory, manifest.digest, stamps=stamps):
        return False
    with staged(directory, stamps) as partial:
        paths = {file.path for file in manifest.files}
        remove_others(partial, paths | parts_of(paths))
        require_space(partial, bytes_to_come(partial, manifest.size))
        known = Stamps(stamps)
        watch.begin(f"fetching {manifest.name}", manifest.size)
        if tally:
            tally.piece_bytes = piece_bytes_of(manifest.size)
        Transfer(source, partial, known, watch, patience, tally).all(manifest.files)
        write_atomic(partial / MANIFEST_NAME, manifest.to_bytes())
        known.save()
        if problems := verify(partial, stamps=stamps):
            raise ModelError(listed(partial, problems))
    return True


def parts_of(paths: set[str]) -> set[str]:
    """What these files are called as long as they are not whole."""
    return {path + PART_SUFFIX for path in paths}


@dataclass(slots=True)
class Transfer:
    """Files on their way from one source to one directory."""

    source: Source
    partial: Path
    known: Stamps
    watch: Watch
    patience: Patience
    tally: Tally | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def all(self, files: Iterable[ModelFile]) -> None:
        """Fetch them, several at once; the first failure stops the others."""
        with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
            under_way = [pool.submit(self.one, file) for file in files]
            try:
                wait(under_way, return_when=FIRST_EXCEPTION)
            finally:
                self.stop.set()
                pool.shutdown(wait=True, cancel_futures=True)
        failures = [each.exception() for each in under_way if not each.cancelled()]
        for failure in sorted(filter(None, failures), key=lambda e: isinstance(e, _Stopped)):
            raise failure

    def one(self, file: ModelFile) -> None:
        """Fetch a file, unless it is there; it gets its name once it is what it should be."""
        place = self.partial / file.path
        if self._has(place, file):
            return
        part = place.with_name(place.name + PART_SUFFIX)
        part.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(self.patience.corrupted_max):
            try:
                self._fill(part, file)
                break
            except _Corrupted as error:
                self.watch.advance(-part.stat().st_size)
                self.watch.say(f"{error}; trying again")
                part.unlink()
                corrupted = error
        else:
            raise ModelError(f"{corrupted}; the copy there is damaged, fetch from another source")
        part.replace(place)
        with self.lock:
            self.known.record(place, file.sha256)

    def _has(self, place: Path, file: ModelFile) -> bool:
        if not place.is_file():
            return False
        if place.stat().st_size == file.size:
            known = self.known.known(place) or sha256_of_file(place)
            if known == file.sha256:
                self.watch.advance(file.size)
                return True
        place.unlink()
        return False

    def _fill(self, part: Path, file: ModelFile) -> None:
        """Append to `part` until it is whole. Raises `_Corrupted` when it is something else."""
        digest = hashlib.sha256()
        size = 0
        where = f"{self.source.address}/{file.path}"
        pieces = PieceHasher(self.tally.piece_bytes) if self.tally else None

        def take(block: bytes) -> None:
            nonlocal size
            digest.update(block)
            if pieces:
                pieces.update(block)
            size += len(block)
            self.watch.advance(len(block))

        def go_on() -> None:
            with part.open("ab") as out, closing(self.source.read(file.path, size)) as blocks:
                for block in blocks:
                    if self.stop.is_set():
                        raise _Stopped
                    out.write(block)
                    take(block)
                    if size > file.size:
                        return
            if size < file.size:
                raise Stumbled(f"{where}: ended after {size} of {file.size} bytes")

        part.touch()
        with part.open("rb") as begun:
            while block := begun.read(_READ_BYTES):
                take(block)
        if size < file.size:
            _patiently(self.patience, go_on, lambda: size, self.stop)
        if size > file.size:
            raise _Corrupted(f"{where}: longer than the {file.size} bytes of the manifest")
        if digest.hexdigest() != file.sha256:
            raise _Corrupted(
                f"{where}: has SHA-256 {digest.hexdigest()}, the manifest says {file.sha256}"
            )
        sync_file(part)
        if self.tally and pieces:
            self.tally.keep(file.path, pieces)


def _patiently(
    patience: Patience,
    call: Callable[[], _T],
    progress: Callable[[], int] = lambda: 0,
    stop: threading.Event | None = None,
) -> _T:
    """`call`, again and again while the source stumbles but still gives a byte now and then."""
    retrying = Retrying(
        retry=retry_if_exception_type(Stumbled),
        stop=stop_after_attempt(patience.tries_max),
        wait=wait_random_exponential(multiplier=0.5, max=patience.wait_seconds_max),
        sleep=sleep_using_event(stop or threading.Event()),
        reraise=True,
    )
    while True:
        before = progress()
        try:
            return retrying(call)
        except Stumbled as error:
            if progress() == before or (stop is not None and stop.is_set()):
                raise ModelError(
                    f"{error}; asked {patience.tries_max} times, what came is kept:"
                    " run the command again when the source is well"
                ) from error
