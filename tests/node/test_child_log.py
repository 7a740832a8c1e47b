"""A render child's words in its agent's log."""

from __future__ import annotations

import json
import logging
import subprocess
import threading

import pytest

from node_agent.child_log import LINE_BYTES_MAX, ChildLog

KEY = ("b-00001", 2)


def said(caplog: pytest.LogCaptureFixture, output: bytes, *keys: tuple[str, int]) -> list:
    """The records that a child's output becomes."""
    log = ChildLog(lambda: keys)
    child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stderr=log.writer, stdout=log.writer)
    before = set(threading.enumerate())
    with caplog.at_level(logging.INFO, logger="node_agent"):
        log.follow()
        (thread,) = set(threading.enumerate()) - before
        child.communicate(output)
        thread.join(30)
    return caplog.records


def test_its_own_lines_keep_time_level_and_ids(caplog: pytest.LogCaptureFixture):
    line = {
        "ts": "2026-11-30T10:00:00.500000Z", "level": "info", "component": "child",
        "logger": "node_agent.render.session", "event": "begins chunk 0 of 100%",
        "clip_id": "b-00001", "attempt": 2,
    }  # fmt: skip
    (record,) = said(caplog, json.dumps(line).encode() + b"\n", ("other", 1))
    assert record.getMessage() == line["event"]
    assert (record.name, record.levelno) == (line["logger"], logging.INFO)
    assert record.created == 1796032800.5
    assert (record.component, record.clip_id, record.attempt) == ("child", "b-00001", 2)


def test_anything_else_is_a_warning_with_the_attempts_in_hand(caplog: pytest.LogCaptureFixture):
    (one,) = said(caplog, b"CUDA error: device-side assert\n", KEY)
    assert one.getMessage() == "CUDA error: device-side assert"
    assert (one.levelno, one.clip_id, one.attempt) == (logging.WARNING, *KEY)
    caplog.clear()
    (both,) = said(caplog, b"\xff\xfe\n", KEY, ("b-00002", 1))
    assert both.clip_ids == ["b-00001", "b-00002"]
    caplog.clear()
    (nobody,) = said(caplog, b"{}\n")
    assert not hasattr(nobody, "clip_id")


def test_a_line_without_end_is_cut(caplog: pytest.LogCaptureFixture):
    records = said(caplog, b"x" * (LINE_BYTES_MAX + 10))
    assert [len(record.getMessage()) for record in records] == [LINE_BYTES_MAX, 10]
