"""What an agent and its render child say to each other, over two pipes.

A message is a frozen dataclass, sent as JSON behind its length in four bytes (big endian). The
agent sends commands, the child reports. Every `Start` is answered, in the end, by exactly one of
`Done`, `Cancelled`, `Yielded` and `Failed`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Annotated, BinaryIO, Literal, TypeAlias, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from node_agent.render.renderer import BLEND_CHUNKS, PromptMark, RenderSpec

MESSAGE_BYTES_MAX = 16 << 20
"""A longer message is an error; one prompt at its longest is a few kilobytes."""

_LENGTH_BYTES = 4
_Message = TypeVar("_Message")


class ProtocolError(Exception):
    """The other side sent something that is no message; the pipe cannot be trusted any more."""


class Failure(enum.StrEnum):
    """How an attempt failed, which decides what the farm does next."""

    INPUT = "input"
    """The clip itself: its prompt or its numbers."""
    OUT_OF_MEMORY = "out_of_memory"
    """The card's memory, or the machine's."""
    NODE = "node"
    """The machine: a broken driver, a lost GPU, an error of ours."""
    STORAGE = "storage"
    """The node's disk: full, or failing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """A file that the child wrote, whole and synced."""

    path: str
    size: int
    """Bytes."""
    sha256: str
    """Lower-case hexadecimal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change of prompt that was asked for while the clip renders."""

    prompt: str
    blend_chunks: int = BLEND_CHUNKS
    chunk: int = 0
    """The first chunk that may follow it; the next one that is begun does, from there on."""
    number: int = 0
    """Names it, and of several that are due at once the highest counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Render a clip after those already given."""

    kind: Literal["start"] = "start"
    spec: RenderSpec
    attempt: int
    fps: int
    directory: str
    """Where the attempt's files go; made if it is not there."""
    resume_chunk: int = 0
    """The first chunk to render; those before it are recorded already."""
    negatives: dict[int, str] = field(default_factory=dict)
    """Files by chunk, those of `renderer.needed_negatives(resume_chunk)`; none for a renderer
    without latents."""
    redecode: tuple[int, ...] = ()
    """Chunks before `resume_chunk` whose frames are made again from their negatives, ascending: the
    trimmed last one of a clip that is extended, or all of them for another encoding."""
    embeddings: str | None = None
    """File of the prompts' embeddings that an earlier attempt uploaded."""
    steered: tuple[PromptMark, ...] = ()
    """As of `renderer.Checkpoint`."""
    changes: tuple[Change, ...] = ()
    """Changes of prompt that are to come."""
    chunks_max: int = 0
    """Yield once so many of the clip's chunks are made, those before `resume_chunk` counted in; 0
    renders to the end."""
    lossless: bool = False
    """Segments are lone FFV1 films in RGB, without an init segment: for whoever encodes them
    otherwise (`node_agent.film`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """Drop an attempt at once, even in the middle of a chunk; for one that ended, its credit."""

    kind: Literal["cancel"] = "cancel"
    clip_id: str
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Yield:
    """Give an attempt up at the next chunk boundary; the chunk in render is finished."""

    kind: Literal["yield"] = "yield"
    clip_id: str
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Steer:
    """Let a clip follow another prompt; for one that ended, nothing."""

    kind: Literal["steer"] = "steer"
    clip_id: str
    attempt: int
    change: Change


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A chunk is safe at the farm: the child may go further ahead of it."""

    kind: Literal["recorded"] = "recorded"
    clip_id: str
    attempt: int
    chunk: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Drop everything and leave."""

    kind: Literal["stop"] = "stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The model is loaded; the first report of a child, unless `LoadFailed` is."""

    kind: Literal["ready"] = "ready"
    renderer: str
    model_digest: str
    stack_id: str
    """The renderer's, with the profile that it has loaded, and the encoder's together: equal ids,
    equal bytes."""
    profiles: tuple[str, ...] = ()
    model_name: str = ""
    placement: str = ""
    """These three as `renderer.Renderer` has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadFailed:
    """The renderer cannot start on this machine; the child leaves."""

    kind: Literal["load_failed"] = "load_failed"
    failure: Failure
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A clip is begun: its prompt is encoded, its checkpoint read."""

    kind: Literal["started"] = "started"
    clip_id: str
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkDone:
    """A chunk is rendered, encoded and on disk."""

    kind: Literal["chunk_done"] = "chunk_done"
    clip_id: str
    attempt: int
    chunk: int
    frames: int
    """Frames of the segment; fewer than rendered only in a clip's last chunk."""
    frames_rendered: int
    render_seconds: float
    encode_seconds: float
    """Encoding and writing, which run beside the next chunk's render."""
    segment: FileRecord
    init: FileRecord | None = None
    """With the first chunk of each start; the same bytes for all chunks of a clip."""
    negative: FileRecord | None = None
    """None for a renderer without latents."""
    embeddings: FileRecord | None = None
    """With chunk 0: the prompts' embeddings, so that another card needs no text encoder."""
    lanes: int = 1
    """Clips that were rendered in lockstep with it, itself included."""
    profile: str = ""
    """What it was rendered with."""
    energy_joules: float | None = None
    """GPU board only; None where the card cannot measure it."""
    vae: str = ""
    busy_seconds: float = 0.0
    idle_seconds: float = 0.0
    passes: float = 0.0
    pass_seconds: float = 0.0
    """These five as `renderer.RenderedChunk` has them."""
    steered: tuple[PromptMark, ...] = ()
    """Changes of prompt that came while the clip rendered, up to and with this chunk."""
    changes: tuple[int, ...] = ()
    """Numbers of the changes that were due when it was begun."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """All chunks of a clip have been reported."""

    kind: Literal["done"] = "done"
    clip_id: str
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """An attempt was dropped as asked; its chunks that were not recorded count no more."""

    kind: Literal["cancelled"] = "cancelled"
    clip_id: str
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Yielded:
    """An attempt ended at a chunk boundary as asked; its chunks have been reported."""

    kind: Literal["yielded"] = "yielded"
    clip_id: str
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """An attempt ended in an error."""

    kind: Literal["failed"] = "failed"
    clip_id: str
    attempt: int
    failure: Failure
    message: str
    """For a person: what went wrong."""
    fatal: bool = False
    """The accelerator is beyond use in this process: the child leaves, start another."""


Command: TypeAlias = Start | Cancel | Yield | Steer | Recorded | Stop
Report: TypeAlias = Ready | LoadFailed | Started | ChunkDone | Done | Cancelled | Yielded | Failed
Ending: TypeAlias = Done | Cancelled | Yielded | Failed

_COMMANDS: TypeAdapter[Command] = TypeAdapter(Annotated[Command, Field(discriminator="kind")])
_REPORTS: TypeAdapter[Report] = TypeAdapter(Annotated[Report, Field(discriminator="kind")])


def command_bytes(command: Command) -> bytes:
    """A command as it travels. Raises ProtocolError when it is too long."""
    return _framed(_COMMANDS.dump_json(command))


def report_bytes(report: Report) -> bytes:
    """A report as it travels. Raises ProtocolError when it is too long."""
    return _framed(_REPORTS.dump_json(report))


def read_command(pipe: BinaryIO) -> Command | None:
    """The next command; None at the pipe's end. Raises ProtocolError."""
    return _parsed(_COMMANDS, _read_body(pipe))


def read_report(pipe: BinaryIO) -> Report | None:
    """The next report; None at the pipe's end, also in the midst of one. Raises ProtocolError."""
    return _parsed(_REPORTS, _read_body(pipe))


def _framed(body: bytes) -> bytes:
    if len(body) > MESSAGE_BYTES_MAX:
        raise ProtocolError(f"a message of {len(body)} bytes; the limit is {MESSAGE_BYTES_MAX}")
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


def _read_body(pipe: BinaryIO) -> bytes | None:
    header = _read_exactly(pipe, _LENGTH_BYTES)
    if header is None:
        return None
    length = int.from_bytes(header, "big")
    if length > MESSAGE_BYTES_MAX:
        raise ProtocolError(f"a message of {length} bytes; the limit is {MESSAGE_BYTES_MAX}")
    return _read_exactly(pipe, length)


def _read_exactly(pipe: BinaryIO, length: int) -> bytes | None:
    content = bytearray()
    while len(content) < length:
        block = pipe.read(length - len(content))
        if not block:  # whoever wrote it is dead; half a message is none
            return None
        content += block
    return bytes(content)


def _parsed(adapter: TypeAdapter[_Message], body: bytes | None) -> _Message | None:
    if body is None:
        return None
    try:
        return adapter.validate_json(body)
    except ValidationError as error:
        raise ProtocolError(f"not a message: {error}") from error
