"""The files that a pipeline needs, from one commit of a model hub.

The hub's own library finds the commit, lists it and brings the small files. The weights come as
from any other source, for the library begins a file anew in each process: a download of 80 GB that
is stopped would lose up to eight files of several GB.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from huggingface_hub import (
    HfApi,
    constants,
    get_hf_file_metadata,
    get_token,
    hf_hub_download,
    hf_hub_url,
)

# HTTPError is httpx's, of whichever generation the library uses: refused connections, too.
from huggingface_hub.errors import HfHubHTTPError, HTTPError  # type: ignore[attr-defined]
from huggingface_hub.utils.tqdm import disable_progress_bars

from node_agent.models.fetch import PATIENT, Patience, Transfer, parts_of
from node_agent.models.info import ModelError, read_config
from node_agent.models.manifest import (
    MANIFEST_NAME,
    ModelFile,
    check_path,
    is_allowed,
    load_manifest,
)
from node_agent.models.sources import Stumbled, http_pool, read_http
from node_agent.models.staging import bytes_to_come, remove_others, require_space, staged
from node_agent.models.stamps import Stamps
from node_agent.models.swarm.pieces import Tally, piece_bytes_of
from node_agent.models.verify import verify, write_manifest
from node_agent.models.watch import UNWATCHED, Watch

INDEX: Final = "model_index.json"
WEIGHTS: Final = ".safetensors"
LICENCES: Final = ("LICENSE", "LICENSE.md", "LICENSE.txt", "NOTICE")
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a commit, as the hub lists it."""

    path: str
    size: int
    git_sha1: str
    sha256: str = ""
    """Of a large file; git knows only a pointer to it."""


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit of a repository of a hub; it never changes."""

    repository: str
    sha: str
    files: tuple[HubFile, ...]
    endpoint: str | None = None
    """Another hub than the library's own."""

    @property
    def name(self) -> str:
        """What its model is called."""
        return self.repository.partition("/")[2]


def is_repository(text: str) -> bool:
    """Whether this is written like a hub's repository, OWNER/NAME."""
    return _REPOSITORY.fullmatch(text) is not None


def resolve(repository: str, revision: str, endpoint: str | None = None) -> Commit:
    """The commit that a branch, tag or commit is now. Raises `ModelError`."""
    with _online(), _hub_errors(repository, endpoint):
        about = HfApi(endpoint=endpoint).model_info(
            repository, revision=revision or "main", files_metadata=True
        )
    files = (
        HubFile(
            each.rfilename,
            each.size or 0,
            each.blob_id or "",
            each.lfs.sha256 if each.lfs else "",
        )
        for each in about.siblings or ()
    )
    if not about.sha:
        raise ModelError(f"{repository}: the hub names no commit for {revision!r}; name another")
    return Commit(repository, about.sha, tuple(files), endpoint)


def fetch_from_hub(
    commit: Commit,
    directory: Path,
    *,
    stamps: Path | None = None,
    watch: Watch = UNWATCHED,
    patience: Patience = PATIENT,
    tally: Tally | None = None,
) -> bool:
    """Bring what a pipeline needs of `commit` to `directory`, and pin it; False if it is there.

    A repository without a pipeline but with weights is taken as a LoRA. Goes on from what an
    earlier call left. Raises `ModelError` when the directory holds something else, the disk is
    short, or the files are not what the hub lists.
    """
    if _is_there(commit, directory, stamps, watch):
        return False
    with (
        staged(directory, stamps) as partial,
        _online(),
        _hub_errors(commit.repository, commit.endpoint),
    ):
        wanted = needed_files(commit, _index(commit, partial))
        paths = {file.path for file in wanted}
        remove_others(partial, paths | parts_of(paths))
        require_space(partial, bytes_to_come(partial, sum(file.size for file in wanted)))
        _small_files(commit, partial, [file for file in wanted if not file.sha256])
        large = [ModelFile(file.path, file.size, file.sha256) for file in wanted if file.sha256]
        known = Stamps(stamps)
        watch.begin(f"fetching {commit.name}", sum(file.size for file in large))
        if tally:
            tally.piece_bytes = piece_bytes_of(sum(file.size for file in wanted))
        Transfer(HubSource(commit), partial, known, watch, patience, tally).all(large)
        known.save()
        write_manifest(partial, name=commit.name, revision=commit.sha, stamps=stamps, watch=watch)
    return True


class HubSource:
    """The large files of a commit; a hub may send to where it keeps them."""

    def __init__(self, commit: Commit) -> None:
        self.address = f"{commit.endpoint or constants.ENDPOINT}/{commit.repository}@{commit.sha}"
        self._commit = commit
        self._pool = http_pool()

    def manifest(self) -> bytes:
        """A hub has none: its list of a commit's files takes that place."""
        raise ModelError(f"{self.address}: a hub has no manifest; resolve the commit instead")

    def read(self, path: str, offset: int, size: int | None = None) -> Generator[bytes, None, None]:
        """A file's bytes from `offset` on."""
        commit, where = self._commit, f"{self.address}/{path}"
        url = hf_hub_url(commit.repository, path, revision=commit.sha, endpoint=commit.endpoint)
        try:
            location = get_hf_file_metadata(url, endpoint=commit.endpoint).location
        except HTTPError as error:
            status = error.response.status_code if isinstance(error, HfHubHTTPError) else 500
            if status >= 500 or status in (408, 429):
                raise Stumbled(f"{where}: {error}") from error
            raise ModelError(f"{where}: {error}") from error
        token = get_token() if urlsplit(location).netloc == urlsplit(url).netloc else None
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return read_http(self._pool, location, headers, offset, where, size)


def needed_files(commit: Commit, index: dict[str, Any] | None) -> list[HubFile]:
    """What the pipeline of this `model_index.json` reads; without one, a LoRA's weights."""
    if index is None:
        wanted = [
            file
            for file in commit.files
            if "/" not in file.path and (file.path.endswith(WEIGHTS) or file.path in LICENCES)
        ]
    else:
        parts = {name for name, value in index.items() if isinstance(value, list) and all(value)}
        wanted = [
            file
            for file in commit.files
            if file.path in (INDEX, *LICENCES)
            or (
                file.path.partition("/")[0] in parts
                and is_allowed(file.path)
                and not file.path.endswith(".md")
            )
        ]
    if not any(file.path.endswith(WEIGHTS) for file in wanted):
        raise ModelError(f"{commit.repository}: has no {WEIGHTS} weights at {commit.sha}")
    for file in wanted:
        check_path(f"{commit.repository}@{commit.sha}", file.path)
    return wanted


def _is_there(commit: Commit, directory: Path, stamps: Path | None, watch: Watch) -> bool:
    if not directory.exists() or not any(directory.iterdir()):
        return False
    if not (directory / MANIFEST_NAME).exists():
        raise ModelError(f"{directory}: holds something else; name another directory")
    manifest = load_manifest(directory)
    if manifest.revision != commit.sha:
        raise ModelError(
            f"{directory}: holds {manifest.name} of revision {manifest.revision};"
            f" name another directory for {commit.sha}"
        )
    return not verify(directory, stamps=stamps, watch=watch)


def _index(commit: Commit, partial: Path) -> dict[str, Any] | None:
    index = next((file for file in commit.files if file.path == INDEX), None)
    if index is None:
        return None
    _small_files(commit, partial, [index])
    return read_config(partial / INDEX)


def _small_files(commit: Commit, partial: Path, files: list[HubFile]) -> None:
    """Bring files that git itself keeps. Raises `ModelError` for one that is not what is listed."""
    disable_progress_bars()  # of the library, which would be one for each of them
    for file in files:
        place = partial / file.path
        if place.is_file() and _git_sha1(place) == file.git_sha1:
            continue
        place.unlink(missing_ok=True)
        hf_hub_download(
            commit.repository,
            file.path,
            revision=commit.sha,
            local_dir=partial,
            endpoint=commit.endpoint,
        )
        shutil.rmtree(partial / ".cache")  # the library's notes
        if (found := _git_sha1(place)) != file.git_sha1:
            place.unlink()
            raise ModelError(
                f"{commit.repository}@{commit.sha}/{file.path}: has {found} in git, the hub lists"
                f" {file.git_sha1}; fetch it again"
            )


def _git_sha1(path: Path) -> str:
    """A file's name in git: a hash of its length and its bytes."""
    content = path.read_bytes()
    head = b"blob %d\0" % len(content)
    return hashlib.sha1(head + content, usedforsecurity=False).hexdigest()


@contextmanager
def _online() -> Iterator[None]:
    """Whoever fetches wants the hub, whatever the environment says for those who render."""
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = False
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


@contextmanager
def _hub_errors(repository: str, endpoint: str | None) -> Iterator[None]:
    """What the hub's library raises, in our words."""
    try:
        yield
    except (HTTPError, OSError) as error:
        hub = endpoint or constants.ENDPOINT
        raise ModelError(f"{repository}, from the hub {hub}: {error}") from error
