"""Bodies by JSON: read with a limit, and turned into the messages that they mean; and back.

A body that cannot be one is refused with the place where it is wrong, never with a failure.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, TypeVar

from google.protobuf import json_format
from google.protobuf.message import Message
from starlette.requests import ClientDisconnect, Request

from farm.gateway.grpc_errors import BadRequest
from farm.gateway.json_errors import Refusal
from farm.gateway.settings import Limits
from farm.gateway.threads import Threads
from heliostat.v1 import batch_service_pb2 as batch_pb

M = TypeVar("M", bound=Message)

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
_TOLD_CHARS_MAX: Final = 400


def message_json(message: Message) -> dict[str, Any]:
    """A message as protobuf-JSON: lowerCamelCase, 64-bit numbers as text, zeros not left out."""
    found: dict[str, Any] = json_format.MessageToDict(
        message, always_print_fields_with_no_presence=True
    )
    return found


def content_type(request: Request, allowed: Sequence[str]) -> str:
    """The body's type, one of `allowed`. Raises `Refusal`."""
    told = request.headers.get("content-type", "")
    kind = told.partition(";")[0].strip().lower()
    if kind not in allowed:
        what = f"{told[:100]!r} is no content-type of this call" if told else "no content-type"
        raise Refusal("UNSUPPORTED_MEDIA_TYPE", f"{what}: send {' or '.join(allowed)}")
    encoding = request.headers.get("content-encoding", "identity")
    if encoding != "identity":
        text = "compressed bodies are not read: send it as it is, without content-encoding"
        raise Refusal("UNSUPPORTED_MEDIA_TYPE", text)
    return kind


async def read_body(request: Request, most: int) -> bytes:
    """The whole body, of `most` bytes. Raises `Refusal` for a larger one."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > most:
        raise _too_large(most)
    body = bytearray()
    async for chunk in _chunks(request):
        body += chunk
        if len(body) > most:
            raise _too_large(most)
    return bytes(body)


def parsed(data: bytes, kind: type[M]) -> M:
    """A message of protobuf-JSON. Raises `BadRequest`."""
    return _message(_loaded(data, "the body"), kind, "the body")


def submission(data: bytes, limits: Limits) -> list[batch_pb.SubmitRequest]:
    """`{"header": …, "rows": […]}` as the messages of a submission. Raises `BadRequest`."""
    body = _loaded(data, "the body")
    unknown = set(body) - {"header", "rows"}
    if unknown:
        raise BadRequest(f"the body has {sorted(unknown)[0][:100]!r}: it has header and rows only")
    rows = body.get("rows", [])
    if not isinstance(rows, list):
        raise BadRequest('rows is no list: write "rows": [{"fields": {"prompt": "…"}}]')
    header = _message(body.get("header"), batch_pb.SubmitHeader, "header")
    parts = [batch_pb.SubmitRequest(header=header)]
    for start in range(0, len(rows), limits.block_rows):
        parts.append(_block(rows[start : start + limits.block_rows], start + 1))
    return parts


async def submission_lines(
    request: Request, limits: Limits, threads: Threads
) -> AsyncIterator[batch_pb.SubmitRequest]:
    """The same from lines: `{"header": …}`, then a row in each. Memory holds one block of them.

    Raises `BadRequest`.
    """
    block: list[bytes] = []
    count, size, begun = 0, 0, False
    async for line in _lines(request, 4 * limits.row_bytes_max):
        if not begun:
            begun = True
            yield await threads.run(_first, line)
            continue
        block.append(line)
        size += len(line)
        if len(block) >= limits.block_rows or size >= limits.message_bytes_max:
            yield await threads.run(_block_of_lines, block, count + 1)
            count, size, block = count + len(block), 0, []
    if block:
        yield await threads.run(_block_of_lines, block, count + 1)


def _first(line: bytes) -> batch_pb.SubmitRequest:
    """The header's line; whether it is one, the submission itself says."""
    return _message(_loaded(line, "line 1"), batch_pb.SubmitRequest, "line 1")


def _block_of_lines(lines: Sequence[bytes], first: int) -> batch_pb.SubmitRequest:
    rows = [_loaded(line, f"row {number}") for number, line in enumerate(lines, first)]
    return _block(rows, first)


def _block(rows: Sequence[Any], first: int) -> batch_pb.SubmitRequest:
    """Rows that have no number are numbered in their order, from 1."""
    block = batch_pb.RowBlock()
    for number, value in enumerate(rows, first):
        row = _message(value, batch_pb.Row, f"row {number}")
        row.number = row.number or number
        block.rows.append(row)
    return batch_pb.SubmitRequest(rows=block)


def _message(value: Any, kind: type[M], where: str) -> M:
    if not isinstance(value, dict):
        raise BadRequest(f"{where} is no object: write {{…}} with the fields of {kind.__name__}")
    try:
        return json_format.ParseDict(value, kind())
    except (json_format.ParseError, ValueError, TypeError, OverflowError, RecursionError) as error:
        told = " ".join(str(error).split())[:_TOLD_CHARS_MAX]
        raise BadRequest(f"{where} is no {kind.__name__}: {told}") from None


def _loaded(data: bytes, where: str) -> dict[str, Any]:
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_each_once)
    except UnicodeDecodeError:
        raise BadRequest(f"{where} is not UTF-8: send it in UTF-8") from None
    except (ValueError, RecursionError) as error:
        told = str(error)[:_TOLD_CHARS_MAX]
        raise BadRequest(f"{where} is no JSON ({told}): send {{}} at least") from None
    if not isinstance(value, dict):
        raise BadRequest(f"{where} is no JSON object: write {{…}}")
    return value


def _each_once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice[:100]!r} is there twice")
    return found


async def _lines(request: Request, most: int) -> AsyncIterator[bytes]:
    """Lines that are not empty."""
    rest = bytearray()
    async for chunk in _chunks(request):
        rest += chunk
        *whole, last = rest.split(b"\n")
        for line in whole:
            if line.strip():
                yield bytes(line)
        rest = last
        if len(rest) > most:
            raise Refusal("BODY_TOO_LARGE", f"a line has more than {most} bytes: keep to that")
    if rest.strip():
        yield bytes(rest)


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    try:
        async for chunk in request.stream():
            yield chunk
    except ClientDisconnect:
        raise BadRequest("the body was cut off: send the request again") from None


def _too_large(most: int) -> Refusal:
    return Refusal(
        "BODY_TOO_LARGE",
        f"the body has more than {most} bytes: send less at once, a submission as {NDJSON}",
    )
