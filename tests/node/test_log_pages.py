"""A card answers questions for its log until the farm asks no more."""

from __future__ import annotations

import json
from pathlib import Path

from heliostat.logs.reading import timestamp
from heliostat.v1 import node_service_pb2 as node_pb
from node_agent.log_pages import PAGES_MAX, LogPages


def a_log(path: Path) -> Path:
    lines = [
        {"ts": timestamp(float(n)), "event": f"line {n}", "clip_id": f"c{n % 2}"} for n in range(10)
    ]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def sent(pages: LogPages) -> list[node_pb.LogPage]:
    request = node_pb.ExchangeRequest()
    pages.fill(request)
    return list(request.logs)


async def test_an_answer_is_repeated_until_it_is_asked_for_no_more(tmp_path: Path):
    spoken: list[None] = []
    pages = LogPages(a_log(tmp_path / "card.jsonl"), lambda: spoken.append(None))
    question = node_pb.LogQuestion(number=7, clip_id="c1", lines_max=3)
    question.since.FromSeconds(4)
    await pages.heed([question])
    (page,) = sent(pages)
    assert [json.loads(line)["event"] for line in page.lines] == ["line 5", "line 7", "line 9"]
    assert (page.number, page.cut, len(spoken)) == (7, False, 1)
    await pages.heed([question])
    assert sent(pages) == [page]
    assert len(spoken) == 1
    await pages.heed([])
    assert sent(pages) == []


async def test_a_card_without_a_log_answers_with_nothing(tmp_path: Path):
    for file in (None, tmp_path / "absent.jsonl", tmp_path):
        pages = LogPages(file, lambda: None)
        await pages.heed([node_pb.LogQuestion(number=1, lines_max=9)])
        assert sent(pages) == [node_pb.LogPage(number=1)]


async def test_a_request_has_few_answers_at_once(tmp_path: Path):
    pages = LogPages(a_log(tmp_path / "card.jsonl"), lambda: None)
    await pages.heed(node_pb.LogQuestion(number=n, lines_max=1) for n in range(1, 9))
    assert [page.number for page in sent(pages)] == list(range(1, PAGES_MAX + 1))
