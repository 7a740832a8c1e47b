"""Lines of a log: how they are written, what is left out, and how they are read back."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from farm.store.sqlite import writer_engine
from heliostat.logs import settings, setup
from heliostat.logs.reading import fields_of, read_page, time_of, timestamp

logger = logging.getLogger("farm.test")


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    """The log of this process, for a while."""
    root = logging.getLogger()
    names = ["", *setup.OWN]
    before = {name: logging.getLogger(name).level for name in names}
    handlers, root.handlers = root.handlers, []
    file = tmp_path / "logs" / "test.jsonl"
    setup.configure("agent", file=file, level="info", card_id="node1-0")
    yield file
    for handler in root.handlers:
        handler.close()
    root.handlers = handlers
    logging.captureWarnings(False)
    logging.raiseExceptions = True
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


def lines(file: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_line_has_the_fields_that_all_have_and_those_of_its_subject(file: Path):
    with setup.about(clip_id="b-00001", attempt=2):
        logger.info("begins chunk %d", 3, extra={"batch_id": "b"})
    logger.debug("not wanted")
    logger.warning("on its own")
    first, second = lines(file)
    assert list(first)[:5] == ["ts", "level", "component", "logger", "event"]
    assert first == {
        "ts": first["ts"], "level": "info", "component": "agent", "logger": "farm.test",
        "event": "begins chunk 3", "card_id": "node1-0", "clip_id": "b-00001", "attempt": 2,
        "batch_id": "b",
    }  # fmt: skip
    assert "clip_id" not in second


def test_a_log_that_cannot_be_written_stops_nobody(file: Path, capsys: pytest.CaptureFixture[str]):
    setup.configure("agent", file=file / "below-a-file.jsonl")
    logger.info("alive")
    first, second = capsys.readouterr().err.splitlines()
    assert "cannot be written" in fields_of(first)["event"]
    assert fields_of(second)["event"] == "alive"


def test_at_a_terminal_a_line_is_for_a_person(file: Path, monkeypatch: pytest.MonkeyPatch):
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stderr", terminal)
    setup.configure("child")
    logger.info("PUT https://s3/b/k?X-Amz-Signature=abc", extra={"attempt": 2})
    plain = re.sub(r"\x1b\[\d*m", "", terminal.getvalue())
    assert re.match(r"\d{4}-\d\d-\d\dT\S+Z \[info +\] PUT https://s3/b/k\?…", plain)
    assert "attempt=2" in plain


def test_libraries_are_heard_from_warning_on(file: Path):
    logging.getLogger("botocore").info("Authorization: secret")
    logging.getLogger("botocore").warning("slow")
    assert [line["event"] for line in lines(file)] == ["slow"]


def test_an_exception_is_one_line(file: Path):
    try:
        raise ValueError("https://user:hunter2@store/x?X-Amz-Signature=abc")
    except ValueError:
        logger.exception("it failed")
    (line,) = lines(file)
    assert "Traceback" in str(line["exception"])
    assert "https://…@store/x?…" in str(line["exception"])


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("PUT https://s3/b/k?X-Amz-Signature=abc&x=1 failed", "PUT https://s3/b/k?… failed"),
        ("Max retries exceeded with url: /b/k?a=1&X-Amz-Credential=x (", "… url: /b/k?… ("),
        ("Authorization: Bearer abc.def-ghi", "Authorization: Bearer …"),
        ("postgresql://farm:hunter2@db/farm", "postgresql://…@db/farm"),
        ("redis://:hunter2@10.0.0.1:6379", "redis://…@10.0.0.1:6379"),
        ("is it fast? yes, 3 cards?", "is it fast? yes, 3 cards?"),
    ],
)
def test_what_opens_something_is_left_out(text: str, kept: str):
    assert setup.redacted(text).endswith(kept.removeprefix("…"))


def test_a_text_of_any_length_makes_a_line_of_bounded_length(file: Path):
    logger.info("x" * 1_000_000)
    assert file.stat().st_size < 2 * setup.TEXT_CHARACTERS_MAX


def test_a_log_is_bounded_and_read_over_its_files(file: Path, monkeypatch: pytest.MonkeyPatch):
    handler = logging.getLogger().handlers[0]
    monkeypatch.setattr(handler, "maxBytes", 4_000)
    for number in range(200):
        logger.info("number %d", number)
    files = sorted(file.parent.iterdir())
    assert len(files) == settings.FILES_MAX
    assert all(each.stat().st_size <= 4_000 + 200 for each in files)
    page = read_page(file, lines_max=50)
    assert [fields_of(line)["event"] for line in page.lines] == [
        f"number {n}" for n in range(150, 200)
    ]
    assert page.cut
    assert not read_page(file, lines_max=2_000).cut


def test_only_later_lines_and_those_of_a_clip_are_read(file: Path):
    for clip_id in ("b-1", "b-10", "b-1", "b-2"):
        logger.info("chunk", extra={"clip_id": clip_id})
    logger.warning("two lanes", extra={"clip_ids": ["b-1", "b-2"]})
    logger.info("clip b-1, attempt 2: upload again")
    of_clip = read_page(file, lines_max=100, clip_id="b-1")
    assert [fields_of(line)["event"] for line in of_clip.lines] == [
        "chunk", "chunk", "two lanes", "clip b-1, attempt 2: upload again",
    ]  # fmt: skip
    assert not of_clip.cut
    second = of_clip.lines[1]
    later = read_page(file, lines_max=100, since=time_of(second), clip_id="b-1")
    assert later.lines == of_clip.lines[2:]


def test_a_page_has_a_limit_in_bytes(file: Path, monkeypatch: pytest.MonkeyPatch):
    for number in range(20):
        logger.info("%d %s", number, "x" * 100)
    monkeypatch.setattr("heliostat.logs.reading.PAGE_BYTES_MAX", 1_000)
    page = read_page(file, lines_max=100)
    assert page.cut
    assert 0 < sum(map(len, page.lines)) <= 1_000
    assert str(fields_of(page.lines[-1])["event"]).startswith("19 ")


def test_a_line_that_is_being_written_and_what_is_no_line_are_left_out(file: Path):
    file.write_text(f'rubbish\n{{"ts": "{timestamp(0)}", "event": "whole"}}\n{{"ts": "20')
    assert len(read_page(file, lines_max=9).lines) == 1
    assert read_page(file.with_name("absent.jsonl"), lines_max=9).lines == []


def test_times_sort_as_text():
    assert timestamp(1.5) == "1970-01-01T00:00:01.500000Z"
    assert timestamp(2.0) > timestamp(1.999999)


def test_an_error_of_the_ledger_does_not_say_its_parameters(tmp_path: Path):
    engine = writer_engine(tmp_path / "farm.db")
    with engine.begin() as connection, pytest.raises(OperationalError) as raised:
        connection.execute(text("INSERT INTO nowhere VALUES (:prompt)"), {"prompt": "a secret fox"})
    engine.dispose()
    assert "fox" not in str(raised.value)
