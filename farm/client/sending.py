"""Input files to the farm's object store, by presigned PUTs: in parallel, each part once.

What the store has is asked of the farm again and again, never remembered here: so a client that
was killed goes on where it was, and URLs that ended while others were sent are replaced.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import BinaryIO, Final

import urllib3

from farm.client.errors import SendFailed
from farm.client.fetch import Progress
from farm.client.local_files import Hashes, Seen, changed
from farm.delivery.download import Stopped
from farm.domain.values import BadValue
from heliostat.v1 import batch_service_pb2 as pb

PARALLEL: Final = 8
GROUP_FILES: Final = 200
GROUP_PARTS: Final = 400
"""Asked for at once: their URLs end after minutes."""

_TRIES: Final = 6
_IDLE_ROUNDS: Final = 3
_BLOCK_BYTES: Final = 1 << 18
_ASK_AGAIN: Final = frozenset({401, 403, 404})
"""The URL has ended, or somebody else joined the upload."""


@dataclass(frozen=True, slots=True)
class LocalInput:
    """A file to be had by the farm."""

    seen: Seen
    hashes: Hashes

    @property
    def message(self) -> pb.InputFile:
        """As it travels."""
        return pb.InputFile(
            sha256=self.hashes.sha256,
            size_bytes=self.seen.size_bytes,
            ext=self.seen.ext,
            part_sha256=self.hashes.parts,
        )


class FileChanged(Exception):
    """A file is no longer what was hashed."""

    def __init__(self, file: LocalInput) -> None:
        super().__init__(str(file.seen.path))
        self.file = file

    @property
    def bad(self) -> BadValue:
        """What to say of it."""
        return changed(self.file.seen.path)


Ask = Callable[[Sequence[LocalInput]], pb.PrepareInputsResponse]
"""Which files are there, and where the others go."""


def groups(files: Sequence[LocalInput]) -> list[list[LocalInput]]:
    """As many files as can be asked for at once, in order."""
    waiting, found = deque(files), []
    while waiting:
        found.append(_take(waiting))
    return found


class Sender:
    """Sends files; use it once, in a `with`."""

    def __init__(
        self, ask: Ask, on_progress: Callable[[Progress], None], *, pause_seconds: float = 0.5
    ) -> None:
        self._ask = ask
        self._on_progress = on_progress
        self._pause_seconds = pause_seconds
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._progress = Progress()
        self._why = ""
        self._pool = ThreadPoolExecutor(PARALLEL, thread_name_prefix="send")
        self._connections = urllib3.PoolManager(
            maxsize=PARALLEL,
            retries=False,
            timeout=urllib3.Timeout(connect=10, read=60),
        )

    def __enter__(self) -> Sender:
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._pool.shutdown(cancel_futures=True)
        self._connections.clear()

    def send(self, files: Sequence[LocalInput]) -> None:
        """Return when the farm says that all are there. Raises `SendFailed`, `FileChanged`."""
        waiting, idle = deque(files), 0
        self._progress.files = len(files)
        self._progress.bytes = sum(file.seen.size_bytes for file in files)
        while waiting:
            group = _take(waiting)
            answer = self._ask(group)
            lacking = [
                (file, place)
                for file, place in zip(group, answer.places, strict=True)
                if not place.is_there
            ]
            tasks = [
                (file, part, _span(file, part, place, answer.part_bytes))
                for file, place in lacking
                for part in place.parts
            ]
            self._count(waiting, [file for file, _ in lacking], [span for *_, span in tasks])
            sent = list(self._pool.map(lambda task: self._put(*task), tasks))
            idle = 0 if any(sent) or len(lacking) < len(group) else idle + 1
            if idle >= _IDLE_ROUNDS:
                name = lacking[0][0].seen.path.name
                raise SendFailed(f"{name}: {self._why}; submit again to go on")
            waiting.extendleft(file for file, _ in reversed(lacking))

    def _count(
        self,
        waiting: Sequence[LocalInput] | deque[LocalInput],
        lacking: Sequence[LocalInput],
        spans: Sequence[tuple[int, int]],
    ) -> None:
        progress = self._progress
        left = sum(file.seen.size_bytes for file in waiting) + sum(size for _, size in spans)
        with self._lock:
            progress.files_done = progress.files - len(waiting) - len(lacking)
            progress.bytes_done = progress.bytes - left
            self._on_progress(progress)

    def _add(self, size: int) -> None:
        if self._stop.is_set():
            raise Stopped
        with self._lock:
            self._progress.bytes_done += size
            self._on_progress(self._progress)

    def _put(self, file: LocalInput, part: pb.InputPart, span: tuple[int, int]) -> bool:
        """Send a part. False when the farm has to be asked for it again."""
        for attempt in range(_TRIES):
            if attempt and self._stop.wait(self._pause_seconds * 2 ** (attempt - 1)):
                raise Stopped
            if not file.seen.is_unchanged():
                raise FileChanged(file)
            try:
                with file.seen.path.open("rb") as stream:
                    stream.seek(span[0])
                    answer = self._connections.request(
                        "PUT",
                        part.url,
                        body=_blocks(stream, span[1], self._add),
                        headers=dict(part.headers),
                    )
            except (urllib3.exceptions.HTTPError, OSError) as error:
                self._why = str(error)
                continue
            if answer.status == 200:
                return True
            self._why = f"the object store answered {answer.status}"
            if answer.status in _ASK_AGAIN:
                return False
        return False


def _blocks(stream: BinaryIO, size: int, on_bytes: Callable[[int], None]) -> Iterator[bytes]:
    """A part of a file, as the body of a request."""
    while size and (block := stream.read(min(_BLOCK_BYTES, size))):
        size -= len(block)
        on_bytes(len(block))
        yield block


def _take(waiting: deque[LocalInput]) -> list[LocalInput]:
    """The next files to ask for; one at least, and taken away from those that wait."""
    group: list[LocalInput] = []
    parts = 0
    while waiting and len(group) < GROUP_FILES:
        parts += len(waiting[0].hashes.parts) or 1
        if group and parts > GROUP_PARTS:
            break
        group.append(waiting.popleft())
    return group


def _span(
    file: LocalInput, part: pb.InputPart, place: pb.InputPlace, part_bytes: int
) -> tuple[int, int]:
    """Where a part begins in its file, and how many bytes it has."""
    if not place.in_parts:
        return 0, file.seen.size_bytes
    start = (part.number - 1) * part_bytes
    return start, min(part_bytes, file.seen.size_bytes - start)
