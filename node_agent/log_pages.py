"""Answers the farm's questions for lines of this card's log.

The farm asks in every response until it has the answer, and the answer is in every request until
the farm asks no more: a message lost in either direction costs one exchange.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from heliostat.logs.reading import read_page, timestamp
from heliostat.v1 import node_service_pb2 as node_pb

PAGES_MAX: Final = 4
"""Answers in one request; further questions wait."""

logger = logging.getLogger(__name__)


class LogPages:
    """What was asked and is not known to have arrived."""

    def __init__(self, file: Path | None, on_answer: Callable[[], None]) -> None:
        """`on_answer` is called when there is something new to say."""
        self._file = file
        self._on_answer = on_answer
        self._pages: dict[int, node_pb.LogPage] = {}

    def fill(self, request: node_pb.ExchangeRequest) -> None:
        """Put the answers into a request."""
        request.logs.extend(self._pages.values())

    async def heed(self, questions: Iterable[node_pb.LogQuestion]) -> None:
        """Forget what is asked no more, and look up what is asked for the first time."""
        asked = {question.number: question for question in questions}
        self._pages = {number: page for number, page in self._pages.items() if number in asked}
        for number, question in asked.items():
            if number not in self._pages and len(self._pages) < PAGES_MAX:
                self._pages[number] = await asyncio.to_thread(self._answer, question)
                self._on_answer()

    def _answer(self, question: node_pb.LogQuestion) -> node_pb.LogPage:
        if self._file is None:
            return node_pb.LogPage(number=question.number)
        since = question.since.ToMicroseconds() / 1e6 if question.HasField("since") else None
        try:
            page = read_page(
                self._file,
                lines_max=question.lines_max,
                since=timestamp(since) if since is not None else "",
                clip_id=question.clip_id,
            )
        except OSError as error:
            logger.warning("the log cannot be read: %s", error)
            return node_pb.LogPage(number=question.number)
        return node_pb.LogPage(number=question.number, lines=page.lines, cut=page.cut)
