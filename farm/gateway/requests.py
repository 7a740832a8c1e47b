"""What requests have in common: whose they are, whether they came before, and their pages."""

from __future__ import annotations

import hashlib
from typing import Final

from google.protobuf.message import Message

from farm.domain.ledger import RequestRow
from farm.gateway.grpc_errors import BadRequest

REQUEST_ID_CHARS_MAX: Final = 200


def batch_named(text: str) -> str:
    """The batch that a request is about. Raises `BadRequest` when it names none."""
    if not text:
        raise BadRequest("the request names no batch: give its id, or its name")
    return text


def page_after(token: str) -> int:
    """Where a page begins. Raises `BadRequest`."""
    if not token:
        return 0
    if not (token.isascii() and token.isdigit() and len(token) <= 12):
        raise BadRequest("the page_token is not one of this call: begin with the first page")
    return int(token)


def request_row(request: Message, request_id: str, batch_id: str) -> RequestRow:
    """What tells this mutation from others. Raises `BadRequest` without a request_id."""
    if not request_id:
        raise BadRequest("the request has no request_id: choose one for each that you mean")
    if len(request_id) > REQUEST_ID_CHARS_MAX:
        raise BadRequest(f"the request_id has more than {REQUEST_ID_CHARS_MAX} characters")
    same = type(request)()
    same.CopyFrom(request)
    same.ClearField("request_id")
    data = type(request).__name__.encode() + same.SerializeToString(deterministic=True)
    return RequestRow(request_id, hashlib.sha256(data).hexdigest(), batch_id)
