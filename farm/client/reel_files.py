"""A clip's negatives beside its take, as the reel that `farm-node` extends and decodes again.

    fox_v001.mp4   fox_v001.json   fox_v001.reel/reel.json, init.mp4, chunk-00000.m4s, ...

The reel's record is made of the clip, its chunks and the sidecar of its take; it is written last,
so that a reel counts once all of it is there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Protocol

from farm.client.errors import FetchFailed
from farm.delivery.download import Downloader, Wanted, sha256_of
from heliostat.v1 import batch_service_pb2 as pb
from heliostat.v1 import types_pb2 as types

_PARALLEL: Final = 4
_RECORD: Final = "reel.json"
_FORMAT: Final = 1
"""Of `node_agent.reel.reel.Record`, which reads it."""

_NAMES: Final = {
    types.ARTIFACT_KIND_SEGMENT: "chunk-{:05d}.m4s",
    types.ARTIFACT_KIND_NEGATIVE: "chunk-{:05d}.safetensors",
    types.ARTIFACT_KIND_INIT: "init.mp4",
    types.ARTIFACT_KIND_EMBEDDINGS: "embeddings.safetensors",
}


class Pages(Protocol):
    """`Farm.chunks`."""

    def __call__(self, clip_id: str) -> Iterator[pb.ListChunksResponse]:
        """Pages of chunks."""
        ...


def fetch_reel(pages: Pages, clip_id: str, film: Path, on_bytes: Callable[[int], None]) -> Path:
    """Download a reel beside `film`; its folder. Raises `FetchFailed`."""
    source = clip_id
    clip, chunks = _stored(pages, clip_id)
    if not chunks and clip.origin.kind == "reuse":
        source = clip.origin.clip_id
        _, chunks = _stored(pages, source)
    if not any(_file(chunk, types.ARTIFACT_KIND_NEGATIVE) for chunk in chunks):
        raise FetchFailed(
            f"{film.name}: the farm has no negatives of it: they are kept for"
            " `keep_chunks_days` after a clip has ended, and test cards have none"
        )
    folder = film.with_suffix(".reel")
    folder.mkdir(exist_ok=True)
    _download(pages, source, folder, chunks, on_bytes)
    sidecar = json.loads(film.with_suffix(".json").read_text(encoding="utf-8"))
    part = folder / f"{_RECORD}.part"
    text = json.dumps(_record(clip, chunks, sidecar), ensure_ascii=False, indent=2)
    part.write_text(text + "\n", encoding="utf-8")
    os.replace(part, folder / _RECORD)
    return folder


def _stored(pages: Pages, clip_id: str) -> tuple[types.Clip, list[pb.StoredChunk]]:
    found = list(pages(clip_id))
    return found[0].clip, [chunk for page in found for chunk in page.chunks]


def _download(
    pages: Pages,
    clip_id: str,
    folder: Path,
    chunks: Sequence[pb.StoredChunk],
    on_bytes: Callable[[int], None],
) -> None:
    urls = {path: file.url for path, file in _files(folder, chunks)}

    def url_of(path: Path) -> Callable[[bool], str]:
        def url(fresh: bool) -> str:
            if fresh:
                _, again = _stored(pages, clip_id)
                urls.update({path: file.url for path, file in _files(folder, again)})
            return urls[path]

        return url

    downloader = Downloader(connections=_PARALLEL, on_bytes=on_bytes)

    def fetch(path: Path, artifact: types.Artifact) -> None:
        if not (path.is_file() and sha256_of(path) == artifact.sha256):
            part = path.with_name(f"{path.name}.part")
            size, url = artifact.size_bytes, url_of(path)
            downloader.fetch(Wanted(path.name, part, artifact.sha256, size, url))
            part.replace(path)

    pool = ThreadPoolExecutor(_PARALLEL, thread_name_prefix="reel")
    try:
        waiting = [pool.submit(fetch, path, file.artifact) for path, file in _files(folder, chunks)]
        for each in waiting:
            each.result()
    finally:
        downloader.stop.set()
        pool.shutdown(cancel_futures=True)
        downloader.close()


def _files(folder: Path, chunks: Sequence[pb.StoredChunk]) -> Iterator[tuple[Path, pb.StoredFile]]:
    """Every file once, where it belongs."""
    found: dict[Path, pb.StoredFile] = {}
    for chunk in chunks:
        for file in chunk.files:
            found[folder / _NAMES[file.artifact.kind].format(chunk.chunk)] = file
    yield from found.items()


def _file(chunk: pb.StoredChunk, kind: types.ArtifactKind.ValueType) -> dict[str, str | int] | None:
    """A chunk's file of a kind, as the record has it."""
    for file in chunk.files:
        if file.artifact.kind == kind:
            name = _NAMES[kind].format(chunk.chunk)
            artifact = file.artifact
            return {"name": name, "size": artifact.size_bytes, "sha256": artifact.sha256}
    return None


def _record(
    clip: types.Clip, chunks: Sequence[pb.StoredChunk], sidecar: Mapping[str, Any]
) -> dict[str, Any]:
    """`reel.json` as `node_agent.reel.reel.Record` reads it."""
    spec, first = clip.spec, chunks[0]
    inputs = {
        name: sidecar[name]["sha256"]
        for name in ("image", "video")
        if "sha256" in sidecar.get(name, {})
    }
    return {
        "format_version": _FORMAT,
        "spec": _spec(clip, sidecar),
        "fps": spec.fps,
        "renderer": sidecar["renderer"],
        "model_digest": sidecar["model_digest"],
        "recipe": sidecar.get("recipe") or {},
        "inputs": inputs,
        "fork": {"chunk": spec.fork.chunk, "seed": spec.fork.seed}
        if spec.HasField("fork")
        else None,
        "init": _file(first, types.ARTIFACT_KIND_INIT),
        "embeddings": _file(first, types.ARTIFACT_KIND_EMBEDDINGS),
        "chunks": [_chunk(chunk, sidecar["stack_id"]) for chunk in chunks],
    }


def _chunk(chunk: pb.StoredChunk, stack_id: str) -> dict[str, Any]:
    return {
        "frames": chunk.frames,
        "segment": _file(chunk, types.ARTIFACT_KIND_SEGMENT),
        "negative": _file(chunk, types.ARTIFACT_KIND_NEGATIVE),
        "seconds": chunk.render_seconds,
        "stack_id": stack_id,
        "lanes": chunk.lanes or 1,
        "joules": chunk.energy_joules if chunk.HasField("energy_joules") else None,
        "steered": _marks(chunk.steered),
        "profile": chunk.profile,
    }


def _spec(clip: types.Clip, sidecar: Mapping[str, Any]) -> dict[str, Any]:
    spec = clip.spec
    known: dict[str, Any] = {
        "clip_id": clip.clip_id,
        "name": clip.name,
        "prompt": spec.prompt,
        "negative_prompt": spec.negative_prompt,
        "frames": spec.frames,
        "height": spec.height,
        "width": spec.width,
        "seed": spec.seed,
        "steps": list(spec.steps),
        "quality": spec.quality,
        "schedule": _marks(spec.schedule),
        "skip_first_chunk": spec.skip_first_chunk,
        "loras": [{"name": lora.name, "scale": lora.scale} for lora in spec.loras],
    }
    for name in ("guidance_scale", "amplify_first_chunk"):
        if spec.HasField(name):
            known[name] = getattr(spec, name)
    for name in ("image", "video"):
        if name in sidecar:
            known[name] = sidecar[name]["name"]
    if spec.HasField("image_noise"):
        known["image_noise"] = [spec.image_noise.min, spec.image_noise.max]
    if spec.HasField("video_noise"):
        known["video_noise"] = [spec.video_noise.min, spec.video_noise.max]
    return known


def _marks(marks: Sequence[types.PromptMark]) -> list[dict[str, str | int]]:
    return [
        {"chunk": mark.chunk, "prompt": mark.prompt, "blend_chunks": mark.blend_chunks}
        for mark in marks
    ]
