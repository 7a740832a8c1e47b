"""Demand: the cards that the fleet wants, told to Ray's autoscaler.

Ray's request is for a whole cluster, not for what is to be added: it holds the cards that work and
those that are wanted beside them. Where no autoscaler runs, nobody reads it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from ray.autoscaler.sdk import request_resources

from farm.coordinator.overview import ANY_CARD
from heliostat.v1 import types_pb2 as types_pb

logger = logging.getLogger(__name__)

CARDS_MAX: Final = 1000
"""Cards asked for at once, of all types together."""


class Demand:
    """What was asked of the autoscaler, and is asked anew when it changes."""

    def __init__(self) -> None:
        self._asked: Mapping[str, int] = {}

    async def tell(self, wanted: Mapping[str, int], cards: Iterable[types_pb.Card]) -> None:
        """`wanted` are cards by type, beside those of `cards` that work."""
        asked = cards_in_all(wanted, cards)
        if asked != self._asked:
            await asyncio.to_thread(request_resources, bundles=bundles(asked))
            self._asked = asked
            logger.info("cards asked for: %s", dict(asked) or "none")


def cards_in_all(wanted: Mapping[str, int], cards: Iterable[types_pb.Card]) -> Mapping[str, int]:
    """Cards by type that work or are wanted, `CARDS_MAX` at most; "any" is any type."""
    working = Counter(card.card_type for card in cards if card.online and card.clip_ids)
    counts = working + Counter(wanted)
    room, asked = CARDS_MAX, {}
    for card_type in sorted(counts):
        if count := min(counts[card_type], room):
            asked[card_type] = count
            room -= count
    return asked


def bundles(asked: Mapping[str, int]) -> list[dict[str, float]]:
    """A bundle of resources for each card: as nodes have them (`node_agent.cluster.ray_node`)."""
    return [
        {"card": 1.0} if card_type == ANY_CARD else {"card": 1.0, f"card:{card_type}": 1.0}
        for card_type, count in asked.items()
        for _ in range(count)
    ]
