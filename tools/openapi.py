"""Makes farm/gateway/openapi.json of proto/heliostat/v1: the API by JSON, for OpenAPI 3.1.

What the .proto files say of calls, messages and fields becomes the descriptions. Run by
`make proto`.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, MethodDescriptor
from google.rpc import code_pb2  # type: ignore[import-untyped]

from farm import __version__
from farm.gateway.json_api import SERVICES, SUBMIT_SECONDS, TIMEOUT_HEADER, path_of
from farm.gateway.json_bodies import JSON, NDJSON
from farm.gateway.json_errors import HTTP_STATUSES, REFUSALS
from farm.gateway.json_events import EVENT_STREAM, LAST_EVENT_HEADER
from farm.gateway.pages import OPENAPI

ROOT: Final = Path(__file__).parents[1]
Schema = dict[str, Any]

_INTEGERS: Final = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
}
_LONG: Final = {
    FieldDescriptor.CPPTYPE_INT64: r"^-?[0-9]{1,18}$",
    FieldDescriptor.CPPTYPE_UINT64: r"^[0-9]{1,19}$",
}
_NOT_NUMBERS: Final = ["NaN", "Infinity", "-Infinity"]

_ABOUT: Final = """\
The calls of a Heliostat farm as protobuf-JSON. Every call is a POST with an object of its request;
field names are lowerCamelCase, 64-bit numbers are text, times are RFC 3339 in UTC. An error is a
google.rpc.Status whose ErrorInfo has a stable reason. docs/api.md of the repository tells the rest.
"""
_SUBMIT: Final = (
    'As JSON, header and rows in one body; as NDJSON, `{"header": …}` in the first line and a row '
    "in each line after it, however many. Rows without a number are numbered in their order."
)
_WATCH: Final = (
    'As NDJSON, an event in each line, the last one `{"error": …}` when the stream failed; empty '
    f"lines say that it lives. With `accept: {EVENT_STREAM}`, server-sent events whose ids are "
    "their sequence numbers."
)


def document() -> Schema:
    """The whole document."""
    maker = _Maker(_comments())
    paths = {
        path_of(method): {"post": maker.operation(method)}
        for service in SERVICES
        for method in service.methods
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Heliostat",
            "version": __version__,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "tags": [{"name": service.name} for service in SERVICES],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "parameters": {"timeout": _timeout()},
            "responses": {"error": _error_response()},
            "schemas": dict(sorted(maker.schemas.items())),
        },
    }


class _Maker:
    """Collects the schemas that operations refer to."""

    def __init__(self, comments: dict[str, str]) -> None:
        self.comments = comments
        self.schemas: dict[str, Schema] = {"google.rpc.Status": _status()}

    def operation(self, method: MethodDescriptor) -> Schema:
        """A call."""
        about = self.comments.get(method.full_name, "")
        bodies = {JSON: {"schema": self._message(method.input_type)}}
        answers = {JSON: {"schema": self._message(method.output_type)}}
        parameters: list[Schema] = [{"$ref": "#/components/parameters/timeout"}]
        if method.client_streaming:
            bodies, about = self._submission(), f"{about}\n\n{_SUBMIT}"
        if method.server_streaming:
            parameters, about = [_last_event()], f"{about}\n\n{_WATCH}"
            answers = {NDJSON: {}, EVENT_STREAM: {}}
        return {
            "operationId": f"{method.containing_service.name}_{method.name}",
            "tags": [method.containing_service.name],
            "summary": about.partition("\n")[0].partition(". ")[0].partition(": ")[0],
            "description": about,
            "parameters": parameters,
            "requestBody": {"required": True, "content": bodies},
            "responses": {
                "200": {"description": "Done.", "content": answers},
                **{
                    str(status): {"$ref": "#/components/responses/error"}
                    for status in sorted({*HTTP_STATUSES.values(), *REFUSALS.values(), 500})
                },
            },
        }

    def _submission(self) -> dict[str, Schema]:
        part = next(each for each in SERVICES[0].methods if each.client_streaming).input_type
        header, rows = part.fields_by_name["header"], part.fields_by_name["rows"]
        row = _within(_within(rows).fields_by_name["rows"])
        body = {
            "type": "object",
            "required": ["header", "rows"],
            "properties": {
                "header": self._message(_within(header)),
                "rows": {"type": "array", "items": self._message(row)},
            },
            "additionalProperties": False,
        }
        return {JSON: {"schema": body}, NDJSON: {}}

    def _message(self, message: Descriptor) -> Schema:
        """A reference to a message's schema, which is made at the first one."""
        if message.full_name == "google.protobuf.Timestamp":
            return {"type": "string", "format": "date-time"}
        name = message.full_name.removeprefix("heliostat.v1.")
        if name not in self.schemas:
            schema: Schema = {"type": "object"}
            self.schemas[name] = schema
            if about := self.comments.get(message.full_name):
                schema["description"] = about
            schema["properties"] = {each.json_name: self._field(each) for each in message.fields}
            schema["additionalProperties"] = False
        return {"$ref": f"#/components/schemas/{name}"}

    def _field(self, field: FieldDescriptor) -> Schema:
        about = self.comments.get(field.full_name)
        schema = self._type(field)
        if field.is_repeated and not _is_map(field):
            schema = {"type": "array", "items": schema}
        return {**schema, "description": about} if about else schema

    def _type(self, field: FieldDescriptor) -> Schema:
        if _is_map(field):
            value = _within(field).fields_by_name["value"]
            return {"type": "object", "additionalProperties": self._type(value)}
        kind = field.cpp_type
        if kind == FieldDescriptor.CPPTYPE_MESSAGE:
            return self._message(_within(field))
        if field.enum_type is not None:
            return self._enum(field.enum_type)
        if kind in _INTEGERS:
            least, most = _INTEGERS[kind]
            return {"type": "integer", "minimum": least, "maximum": most}
        if kind in _LONG:
            return {"type": "string", "pattern": _LONG[kind]}
        if kind in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT):
            return {"anyOf": [{"type": "number"}, {"enum": _NOT_NUMBERS}]}
        if kind == FieldDescriptor.CPPTYPE_BOOL:
            return {"type": "boolean"}
        if field.type == FieldDescriptor.TYPE_STRING:
            return {"type": "string"}
        raise ValueError(f"{field.full_name}: no schema for its type yet")

    def _enum(self, enum: EnumDescriptor) -> Schema:
        name = enum.full_name.removeprefix("heliostat.v1.")
        schema: Schema = {"type": "string", "enum": [value.name for value in enum.values]}
        told = [self.comments.get(enum.full_name, "")]
        for value in enum.values:
            if about := self.comments.get(f"{enum.full_name}.{value.name}"):
                told.append(f"- {value.name}: {about}")
        if any(told):
            schema["description"] = "\n".join(filter(None, told))
        self.schemas[name] = schema
        return {"$ref": f"#/components/schemas/{name}"}


def _is_map(field: FieldDescriptor) -> bool:
    message = field.message_type
    return message is not None and message.GetOptions().map_entry


def _within(field: FieldDescriptor) -> Descriptor:
    """The type of a field that is a message."""
    if field.message_type is None:
        raise ValueError(f"{field.full_name} is no message")
    return field.message_type


def _timeout() -> Schema:
    return {
        "name": TIMEOUT_HEADER,
        "in": "header",
        "description": "Seconds after which the call is given up, whatever becomes of it.",
        "schema": {"type": "number", "minimum": 1, "maximum": SUBMIT_SECONDS},
    }


def _last_event() -> Schema:
    return {
        "name": LAST_EVENT_HEADER,
        "in": "header",
        "description": "The last sequence number that was seen; counts before `afterSequence`.",
        "schema": {"type": "string", "pattern": "^[0-9]{1,18}$"},
    }


def _error_response() -> Schema:
    return {
        "description": "It was not done; the message says what to change.",
        "content": {JSON: {"schema": {"$ref": "#/components/schemas/google.rpc.Status"}}},
    }


def _status() -> Schema:
    detail = {
        "type": "object",
        "required": ["@type"],
        "properties": {
            "@type": {"type": "string"},
            "reason": {"type": "string", "description": "Stable: for programs."},
            "domain": {"type": "string"},
        },
    }
    return {
        "type": "object",
        "required": ["code", "message"],
        "properties": {
            "code": {"type": "integer", "enum": sorted(code_pb2.Code.values())},
            "message": {"type": "string", "description": "What is wrong, and what to do."},
            "details": {"type": "array", "items": detail},
        },
        "additionalProperties": False,
    }


def _comments() -> dict[str, str]:
    """Full name → the comment that stands before it in its .proto file."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "descriptors"
        names = sorted(path.name for path in (ROOT / "proto/heliostat/v1").glob("*.proto"))
        subprocess.run(
            [
                sys.executable, "-m", "grpc_tools.protoc", "-I", "proto", "--include_source_info",
                f"--descriptor_set_out={out}", *(f"proto/heliostat/v1/{name}" for name in names),
            ],
            cwd=ROOT, check=True,
        )  # fmt: skip
        files = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file
    return {
        name: _joined(location.leading_comments)
        for file in files
        for location in file.source_code_info.location
        if location.leading_comments and (name := _named(file, list(location.path)))
    }


def _named(file: descriptor_pb2.FileDescriptorProto, path: list[int]) -> str:
    """The full name of what a location's path leads to; empty for what has no name."""
    names, at = [file.package], file
    steps: Iterator[int] = iter(path)
    for number in steps:
        field = type(at).DESCRIPTOR.fields_by_number[number]
        index = next(steps, None)
        if index is None or field.message_type is None or not field.is_repeated:
            return ""
        at = getattr(at, field.name)[index]
        names.append(getattr(at, "name", ""))
    return ".".join(names) if all(names) and len(names) > 1 else ""


def _joined(comment: str) -> str:
    """Lines of a paragraph in one."""
    return re.sub(r"\s*\n\s*", " ", comment.strip())


def text() -> str:
    """The document as it is committed."""
    return json.dumps(document(), ensure_ascii=False, indent=1) + "\n"


if __name__ == "__main__":
    OPENAPI.write_text(text(), encoding="utf-8")
