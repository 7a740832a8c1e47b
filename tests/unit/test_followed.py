"""A log that is followed: every line once, also one that comes late."""

from __future__ import annotations

import json
from datetime import datetime

from farm.client.followed import OVERLAP, NewLines
from heliostat.logs.reading import timestamp
from heliostat.v1 import fleet_service_pb2 as pb


def line(at: float, event: str) -> str:
    return json.dumps({"ts": timestamp(at), "event": event})


def test_a_line_is_shown_once_and_one_that_comes_late_too():
    seen = NewLines()
    first = pb.ReadLogsResponse(lines=[line(100, "a"), line(102, "c")])
    since = seen.pick(first, None)
    assert len(first.lines) == 2
    assert since == datetime.fromisoformat(timestamp(102)) - OVERLAP
    second = pb.ReadLogsResponse(lines=[*first.lines, line(101, "b, of another card")])
    since_then = seen.pick(second, since)
    assert list(second.lines) == [line(101, "b, of another card")]
    assert since_then == since


def test_an_answer_without_news_leaves_the_question_as_it_is():
    since = datetime.fromisoformat(timestamp(50))
    assert NewLines().pick(pb.ReadLogsResponse(), since) == since
    assert NewLines().pick(pb.ReadLogsResponse(), None) is None
