"""An inventory of this machine's cards: what they say of themselves, and where they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from node_agent.node_file import NodeFileError, Place
from node_agent.telemetry import Identity


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One card; None where it does not tell, or nobody said."""

    hostname: str
    index: int
    uuid: str
    serial: str | None
    name: str | None
    vram_bytes: int | None
    driver: str | None
    vbios: str | None
    pci_address: str | None
    rack: str | None
    shelf: str | None
    circuit: str | None
    tags: tuple[str, ...]


def records(
    hostname: str, driver: str | None, cards: Sequence[Identity], places: Mapping[str, Place]
) -> list[Record]:
    """A record of each card, in NVML's order.

    Raises `NodeFileError` for a card that the operator speaks of twice, by UUID and by index.
    """
    return [_record(hostname, driver, card, place_of(card, places)) for card in cards]


def missing(cards: Sequence[Identity], places: Mapping[str, Place]) -> list[str]:
    """Cards that the operator speaks of and that are not here: pulled out, or dead."""
    here = {card.uuid for card in cards} | {str(card.index) for card in cards}
    return sorted(places.keys() - here)


def place_of(card: Identity, places: Mapping[str, Place]) -> Place:
    """What the operator says of a card. Raises `NodeFileError` where they say it twice."""
    index = str(card.index)
    if card.uuid in places and index in places:
        raise NodeFileError(
            f'card.{index} and card."{card.uuid}" are the same card: keep the second, which '
            "holds when cards are moved"
        )
    return places.get(card.uuid) or places.get(index) or Place()


def _record(hostname: str, driver: str | None, card: Identity, place: Place) -> Record:
    return Record(
        hostname=hostname,
        index=card.index,
        uuid=card.uuid,
        serial=card.serial,
        name=card.name,
        vram_bytes=card.vram_bytes,
        driver=driver,
        vbios=card.vbios,
        pci_address=card.pci_address,
        rack=place.rack,
        shelf=place.shelf,
        circuit=place.circuit,
        tags=place.tags,
    )
