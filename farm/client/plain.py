"""Messages as plain values for JSON: numbers as numbers, states as lower-case words."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp


def plain(message: Message) -> dict[str, Any]:
    """All fields by name; None for messages and optional values that are absent."""
    return {field.name: _field(message, field) for field in message.DESCRIPTOR.fields}


def _field(message: Message, field: Any) -> Any:
    value = getattr(message, field.name)
    if field.is_repeated:
        if field.message_type and field.message_type.GetOptions().map_entry:
            return dict(sorted(value.items()))
        return [_value(item, field) for item in value]
    if field.has_presence and not message.HasField(field.name):
        return None
    return _value(value, field)


def _value(value: Any, field: Any) -> Any:
    if isinstance(value, Timestamp):
        return value.ToJsonString()
    if isinstance(value, Message):
        return plain(value)
    if field.enum_type:
        return word(field.enum_type.values_by_number[value].name, field.enum_type.name)
    return value


def word(name: str, enum: str) -> str:
    """`CLIP_STATE_DONE` of `ClipState` → `done`."""
    prefix = "".join(f"_{c}" if c.isupper() else c for c in enum).lstrip("_").upper() + "_"
    return name.removeprefix(prefix).lower()
