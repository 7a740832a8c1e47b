"""The take and its sidecar, made from a clip's segments, and looked at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from heliostat.v1 import node_service_pb2 as node_pb
from node_agent.chunks import ChunkFiles
from node_agent.encode import TakeError, assemble
from node_agent.files import sha256_of_file, write_atomic
from node_agent.inputs import Inputs
from node_agent.models import describe
from node_agent.orders import amplify_of, fork_of, read_marks, render_spec, sigmas_of
from node_agent.outbox import AttemptKey
from node_agent.quality.measure import measure
from node_agent.quality.signals import Signals
from node_agent.render.helios.recipe import as_made, recipe_for
from node_agent.render.messages import FileRecord, Ready
from node_agent.render.profiles import stack_for
from node_agent.render.renderer import LoraUse
from node_agent.sidecar import (
    InputRecord,
    OriginRecord,
    Sidecar,
    energy_of,
    sidecar_bytes,
)
from node_agent.workbench import Workbench


@dataclass(frozen=True, slots=True)
class MadeTake:
    """A finished take: its files, and what its pixels tell."""

    video: FileRecord
    sidecar: FileRecord
    signals: Signals
    marks: tuple[str, ...]
    stack_id: str
    """The card's, with the profile of the last chunk."""


class TakeMaker:
    """Makes the finished file of one attempt, without a second encode."""

    def __init__(
        self, key: AttemptKey, order: node_pb.ClipOrder, inputs: Inputs, tools: Workbench
    ) -> None:
        self._key = key
        self._inputs = inputs
        self._order = order
        self._tools = tools

    def make(self, files: ChunkFiles, directory: Path) -> MadeTake:
        """Write take and sidecar into `directory`. Raises `TakeError`, OSError.

        The take is decoded from end to end: one that does not play is an error here.
        """
        if files.init is None:
            raise TakeError("the clip's init segment is missing")
        take = assemble(
            files.init,
            [files.segments[index] for index in sorted(files.segments)],
            directory / "take.mp4",
            frames=self._order.spec.frames,
            fps=self._order.spec.fps,
        )
        video = FileRecord(path=str(take.path), size=take.size, sha256=take.sha256)
        signals = measure(take.path, frames=take.frames)
        marks = self._tools.thresholds.marks(signals)
        path = directory / "take.json"
        sidecar = self._sidecar(files, video, signals, marks)
        write_atomic(path, sidecar_bytes(sidecar))
        size, digest = path.stat().st_size, sha256_of_file(path)
        written = FileRecord(path=str(path), size=size, sha256=digest)
        return MadeTake(video, written, signals, marks, sidecar.stack_id)

    def _sidecar(
        self, files: ChunkFiles, video: FileRecord, signals: Signals, marks: tuple[str, ...]
    ) -> Sidecar:
        order, spec, about = self._order, self._order.spec, self._tools.engine.about
        chunks = tuple(files.records[index] for index in sorted(files.records))
        return Sidecar(
            project=order.project,
            batch_id=order.batch_id,
            batch_name=order.batch_name,
            clip_id=self._key[0],
            clip_name=order.name,
            version=order.version,
            row=order.row,
            columns=dict(order.columns),
            prompt=spec.prompt,
            negative_prompt=spec.negative_prompt,
            seed=spec.seed,
            frames=spec.frames,
            width=spec.width,
            height=spec.height,
            fps=spec.fps,
            steps=tuple(spec.steps),
            guidance_scale=spec.guidance_scale if spec.HasField("guidance_scale") else None,
            quality=spec.quality,
            mode=spec.mode,
            image=self._input("image", spec.image),
            video=self._input("video", spec.video),
            schedule=read_marks(spec.schedule),
            loras=tuple(LoraUse(name=lora.name, scale=lora.scale) for lora in spec.loras),
            skip_first_chunk=spec.skip_first_chunk,
            amplify_first_chunk=amplify_of(spec),
            image_noise=sigmas_of(spec, "image_noise"),
            video_noise=sigmas_of(spec, "video_noise"),
            fork=fork_of(spec),
            origin=self._origin(),
            renderer=about.renderer if about else "",
            model_digest=about.model_digest if about else "",
            stack_id=_stack_id(about, chunks[-1].profile),
            card_id=self._tools.card_id,
            attempts=self._key[1],
            chunks=chunks,
            take_sha256=video.sha256,
            take_size_bytes=video.size,
            recipe=self._recipe(chunks[-1].profile, files.vae),
            signals=signals,
            marks=marks,
            energy_joules=energy_of(chunks),
        )

    def _recipe(self, profile: str | None, vae: str) -> dict[str, Any] | None:
        """What the clip's quality meant on this card; None for a renderer without a model."""
        options = self._tools.engine.options
        if options.model is None or options.renderer != "helios":
            return None
        spec = render_spec(self._key[0], self._order, self._inputs)
        on_gpu = options.device != "cpu"
        recipe = recipe_for(spec, describe(options.model), on_gpu=on_gpu).record()
        return as_made(recipe, profile or "", vae, on_gpu=on_gpu)

    def _origin(self) -> OriginRecord | None:
        if not self._order.HasField("origin"):
            return None
        origin = self._order.origin
        return OriginRecord(kind=origin.kind, clip_id=origin.clip_id, chunks=origin.chunks)

    def _input(self, name: str, place: str) -> InputRecord | None:
        """What is known of the image or video that the clip names."""
        if not place:
            return None
        file = self._inputs.files.get(name)
        return InputRecord(name=PurePosixPath(place).name, sha256=file.sha256 if file else None)


def _stack_id(about: Ready | None, profile: str | None) -> str:
    """The child's, with the profile of a chunk instead of the one that was loaded first."""
    if about is None or not about.profiles or not profile:
        return about.stack_id if about else ""
    return stack_for(about.stack_id, about.profiles[0], profile)
