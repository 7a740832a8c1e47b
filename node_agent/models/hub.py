"""The files that a pipeline needs, from one commit of a model hub.

The hub's own library downloads and resumes; what it brought is held against the hashes that the
hub lists, and pinned to the commit.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download

# Of httpx, whichever of its generations the library uses: refused and broken connections, too.
from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]

from node_agent.models.info import ModelError, read_config
from node_agent.models.manifest import MANIFEST_NAME, Manifest, is_allowed, load_manifest
from node_agent.models.staging import bytes_to_come, remove_others, require_space, staged
from node_agent.models.verify import Problem, listed, verify, write_manifest
from node_agent.models.watch import UNWATCHED, Watch

INDEX = "model_index.json"
LICENCES = frozenset({"LICENSE", "LICENSE.md", "LICENSE.txt", "NOTICE"})
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")
_SHA1_LENGTH = 40


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a commit, as the hub lists it."""

    path: str
    size: int
    hash: str
    """SHA-256 of a large file, git's SHA-1 of a small one; lower-case hexadecimal."""


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit of a repository of a hub; it never changes."""

    repository: str
    sha: str
    files: tuple[HubFile, ...]
    endpoint: str | None = None
    """Another hub than the library's own."""


def is_repository(text: str) -> bool:
    """Whether this is written like a hub's repository, OWNER/NAME."""
    return _REPOSITORY.fullmatch(text) is not None


def resolve(repository: str, revision: str, endpoint: str | None = None) -> Commit:
    """The commit that a branch, tag or commit is now. Raises `ModelError`."""
    with _online(), _hub_errors(repository):
        about = HfApi(endpoint=endpoint).model_info(
            repository, revision=revision or "main", files_metadata=True
        )
    files = [
        HubFile(each.rfilename, each.size or 0, each.lfs.sha256 if each.lfs else each.blob_id or "")
        for each in about.siblings or ()
    ]
    if not about.sha:
        raise ModelError(f"{repository}: the hub names no commit for {revision!r}; name another")
    return Commit(repository, about.sha, tuple(files), endpoint)


def fetch_from_hub(
    commit: Commit, directory: Path, *, stamps: Path | None = None, watch: Watch = UNWATCHED
) -> bool:
    """Bring what a pipeline needs of `commit` to `directory`, and pin it; False if it is there.

    A repository without a pipeline but with weights is taken as a LoRA. Raises `ModelError` when
    the directory holds something else, the disk is short, or the files are not what the hub lists.
    """
    if _is_there(commit, directory, stamps, watch):
        return False
    with staged(directory, stamps) as partial, _online(), _hub_errors(commit.repository):
        (partial / MANIFEST_NAME).unlink(missing_ok=True)
        wanted = needed_files(commit, _index(commit, partial))
        size = sum(file.size for file in wanted)
        require_space(partial, bytes_to_come(partial, size))
        watch.say(f"{commit.repository} {commit.sha}: {len(wanted)} files, {size / 1e9:.2f} GB")
        snapshot_download(
            commit.repository,
            revision=commit.sha,
            local_dir=partial,
            allow_patterns=[_literal(file.path) for file in wanted],
            endpoint=commit.endpoint,
        )
        remove_others(partial, {file.path for file in wanted})  # the library's notes
        pin(commit, partial, wanted, stamps, watch)
    return True


def needed_files(commit: Commit, index: dict[str, Any] | None) -> list[HubFile]:
    """What the pipeline of this `model_index.json` reads; without one, a LoRA's weights."""
    if index is None:
        wanted = [
            file
            for file in commit.files
            if "/" not in file.path
            and (PurePosixPath(file.path).suffix == ".safetensors" or file.path in LICENCES)
        ]
    else:
        parts = {name for name, value in index.items() if isinstance(value, list) and all(value)}
        wanted = [
            file
            for file in commit.files
            if file.path == INDEX
            or file.path in LICENCES
            or (
                PurePosixPath(file.path).parts[0] in parts
                and is_allowed(file.path)
                and PurePosixPath(file.path).suffix != ".md"
            )
        ]
    if not any(file.path.endswith(".safetensors") for file in wanted):
        raise ModelError(f"{commit.repository}: has no safetensors weights at {commit.sha}")
    return wanted


def pin(
    commit: Commit, partial: Path, wanted: list[HubFile], stamps: Path | None, watch: Watch
) -> Manifest:
    """Write the manifest of what was fetched, if it is what the hub lists. Raises `ModelError`."""
    name = commit.repository.partition("/")[2]
    manifest = write_manifest(partial, name=name, revision=commit.sha, stamps=stamps, watch=watch)
    hashes = {file.path: file.sha256 for file in manifest.files}
    problems = []
    for file in wanted:
        path = partial / file.path
        found = git_sha1(path) if len(file.hash) == _SHA1_LENGTH else hashes[file.path]
        if found != file.hash:
            path.unlink()
            problems.append(Problem(file.path, f"has {found}, the hub lists {file.hash}; removed"))
    if problems:
        (partial / MANIFEST_NAME).unlink()
        raise ModelError(f"{listed(partial, problems)}\nrun the command again to fetch them anew")
    return manifest


def git_sha1(path: Path) -> str:
    """A small file's hash in git: of its length and its bytes."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0%b" % (len(content), content), usedforsecurity=False).hexdigest()


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
    if INDEX not in {file.path for file in commit.files}:
        return None
    hf_hub_download(
        commit.repository, INDEX, revision=commit.sha, local_dir=partial, endpoint=commit.endpoint
    )
    return read_config(partial / INDEX)


def _literal(path: str) -> str:
    """A path as a pattern that fits nothing else."""
    return re.sub(r"([*?[])", r"[\1]", path)


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
def _hub_errors(repository: str) -> Iterator[None]:
    """What the hub's library raises, in our words."""
    try:
        yield
    except (HTTPError, OSError) as error:
        raise ModelError(f"{repository}: {error}") from error
