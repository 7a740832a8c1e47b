"""What requests have in common: whose they are, whether they came before, and their pages."""

from __future__ import annotations

import hashlib
from types import MappingProxyType
from typing import Final

from google.protobuf.message import Message

from farm.domain.ledger import RequestRow
from farm.domain.query import ClipQuery, ColumnMatch
from farm.domain.values import shown
from farm.gateway.grpc_errors import BadRequest
from farm.gateway.views import VERDICTS
from heliostat.v1 import batch_service_pb2 as batch_pb
from heliostat.v1 import types_pb2 as types_pb

REQUEST_ID_CHARS_MAX: Final = 200
LISTED_MAX: Final = 1000
"""Names of clips, or values of a column, in one listing."""
FILTERS_MAX: Final = 20

_VERDICTS: Final = MappingProxyType(
    {
        int(types_pb.Review.VERDICT_UNSPECIFIED): None,
        **{int(number): verdict for verdict, number in VERDICTS.items()},
    }
)


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


def clip_query(request: batch_pb.ListClipsRequest) -> ClipQuery:
    """What a listing asks for beside states. Raises `BadRequest`."""
    if len(request.clips) > LISTED_MAX:
        raise BadRequest(f"{len(request.clips)} clips in one listing: name {LISTED_MAX} at most")
    if len(request.where) > FILTERS_MAX or any(len(w.values) > LISTED_MAX for w in request.where):
        raise BadRequest(
            f"the listing asks for more than {FILTERS_MAX} columns, or more than {LISTED_MAX} "
            "values of one: ask for fewer"
        )
    for each in request.where:
        if not each.values:
            raise BadRequest(f"no value is asked for of column {shown(each.column)}: name one")
    try:
        verdicts = [_VERDICTS[number] for number in request.verdicts]
    except KeyError as error:
        raise BadRequest(f"{error.args[0]} is no verdict of a review") from None
    return ClipQuery(
        where=tuple(ColumnMatch(each.column, tuple(each.values)) for each in request.where),
        verdicts=verdicts,
        latest=request.latest,
        clips=request.clips or None,
    )


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
