"""What a farm of so many cards is made of: memory, disks, links, power, and a shopping list. Pure.

Weights are counted, frame rates predicted by the card model, all else is estimated or assumed:
each figure says which, and how it is computed.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from farm.domain.clip import CHUNK_FRAMES
from farm.plan.card_table import CARDS, Card
from farm.plan.card_time import WAYS, offloaded, predict
from farm.plan.economics import H100, HELIOS, Basis
from farm.plan.money.article import H100_PRICE
from farm.plan.money.figure import Figure, Row, Statement, Table, derived
from farm.plan.money.fleet_tables import per_thousand, row
from farm.plan.money.scenario import Prices

VALUE: Final = {"value": ""}

WEIGHTS_ON_HOST: Final[Mapping[str, Mapping[int, float]]] = MappingProxyType(
    {
        "exact": {6: 28.2, 8: 26.4, 12: 22.2, 16: 18.0, 24: 9.1, 32: 0.0},
        "fast": {6: 16.9, 8: 14.2, 12: 10.0, 16: 5.8, 24: 0.0},
    }
)
"""GB that one card streams from its host, by profile and GiB of the card: as
`node_agent/doctor/needs.py` counts them."""
RESERVE_GB: Final = 3.2
"""Of a host, for all but weights."""
ENCODER_GB: Final = 15.8
"""Of a host: the text encoder passes through it."""
MODEL_GB: Final = {"exact": 40.5, "fast": 29.2}
"""On the disk: transformer, text encoder, VAE, as a profile stores them."""
SYSTEM_GB: Final = 25.0
"""Operating system, with Heliostat and CUDA."""
SPOOL_GB: Final = 10.0
"""Of a card: finished files that wait for the store."""
SIZES_GB: Final = (16, 32, 48, 64, 96, 128, 192, 256, 384, 512)
"""In which memory is sold."""
DISKS_GB: Final = (128, 256, 512, 1000, 2000)
NEGATIVE_MB: Final = 2.2
"""Of a chunk at 640x384: 1 x 16 x 9 x 48 x 80 float32."""
VIDEO_MBIT: Final = 4.0
"""A second of H.264 at 640x384, CRF 18; segments and takes alike. Assumed."""
FPS: Final = 24
HOST_WATTS: Final = 75.0
"""Of a machine around its cards: 50 to 100. Assumed."""
SUPPLY_EFFICIENCY: Final = 0.9
CIRCUIT_SHARE: Final = 0.8
"""Of a fuse, for a load that never rests."""
BTU_PER_WATT: Final = 3.412
"""An hour's heat, for whoever sells air conditioning."""

PARTS: Final[Mapping[str, float]] = MappingProxyType(
    {
        "machine": 200.0,  # board, CPU, cooler, case
        "ram-gb": 3.0,
        "ssd-gb": 0.07,
        "supply-watt": 0.12,
        "switch-port": 12.0,  # with its cable
        "head": 700.0,  # 8 cores, 32 GB, two mirrored SSDs
        "store-tb": 25.0,  # on hard disks, kept twice
    }
)
"""US dollars. Assumed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The farm that somebody thinks of."""

    cards: int = 62
    card_type: str = "rtx-4060-ti"
    per_machine: int = 1
    way: str = "exact"
    """One of `farm.plan.card_time.WAYS`."""
    volts: float = 230.0
    amperes: float = 16.0
    """Of a circuit."""
    keep_days: float = 30.0
    """So long chunks are kept (setting keep_chunks_days)."""
    network_gbit: float = 1.0
    part_prices: Mapping[str, float] = field(default_factory=dict)
    """In the place of `PARTS`."""

    @property
    def card(self) -> Card:
        """What the cards are made of. Raises `KeyError` for an unknown type."""
        return CARDS[self.card_type]

    @property
    def profile(self) -> str:
        """How weights are stored: exact or fast."""
        return "exact" if self.way.startswith("exact") else "fast"

    @property
    def machines(self) -> int:
        """The last one may have fewer cards."""
        return -(-self.cards // self.per_machine)


def sizing(asked: Asked, prices: Prices) -> Statement:
    """A machine, the farm, and what to buy."""
    machine, farm = _machine(asked), _farm(asked, prices)
    return Statement(prices.currency, (machine, farm, _shopping(asked, prices, machine, farm)))


def _estimated(value: float, unit: str, source: str) -> Figure:
    return Figure(value, unit, Basis.ESTIMATED, source)


def _assumed(value: float, unit: str, source: str) -> Figure:
    return Figure(value, unit, Basis.ASSUMED, source)


def _one(key: str, label: str, figure: Figure) -> Row:
    return row(key, label, value=figure)


def _sold(need: float, sizes: tuple[int, ...]) -> float:
    """The smallest size that holds it; several of the largest where none does."""
    place = bisect_left(sizes, need)
    return sizes[place] if place < len(sizes) else math.ceil(need / sizes[-1]) * sizes[-1]


def _machine(asked: Asked) -> Table:
    card, cards = asked.card, asked.per_machine
    by_size = WEIGHTS_ON_HOST[asked.profile]
    size = max((each for each in by_size if each <= card.vram_gib), default=min(by_size))
    ram = max(cards * by_size[size] + RESERVE_GB, ENCODER_GB)
    disk = MODEL_GB[asked.profile] + SYSTEM_GB + cards * SPOOL_GB
    run = offloaded(card, WAYS[asked.way], HELIOS["distilled"])
    watts = (cards * card.watts + HOST_WATTS) / SUPPLY_EFFICIENCY
    rows = (
        _one("cards", "cards", _assumed(cards, "", "as asked here")),
        _one("ram_needed", "memory that renders", _estimated(
            ram, "GB", "weights that cards stream + 3.2; 15.8 at least, for the text encoder")),
        _one("ram", "memory to buy", _estimated(_sold(ram, SIZES_GB), "GB", "next size sold")),
        _one("disk_needed", "disk that is used", _estimated(
            disk, "GB", "model + system 25 + spool 10 a card")),
        _one("disk", "disk to buy", _estimated(_sold(disk, DISKS_GB), "GB", "next size sold")),
        _one("cores", "processor cores", _assumed(2 + 2 * cards, "", "2 + 2 a card")),
        _one("streamed", "weights over the link in each pass, a card", _estimated(
            run.streamed_bytes / 1e9, "GB", "blocks that have no room on the card")),
        _one("link", "link of each card", _estimated(
            card.link, "GB/s", "four fifths of its PCIe lanes; give each card all of them")),
        _one("watts", "power at the plug, all cards at work", _assumed(
            watts, "W", "(boards + 75 for the machine) / 0.9")),
    )  # fmt: skip
    notes = (
        "the first machine that converts or quantises a download needs 80 GB more disk meanwhile",
        "a slot with fewer lanes makes the card wait for weights: `farm-node doctor` measures it",
    )
    return Table("machine", "One machine", VALUE, rows, notes)


def _rate(asked: Asked) -> Figure:
    card, model = asked.card, HELIOS["distilled"]
    time = predict(card, offloaded(card, WAYS[asked.way], model), model, H100.work)
    value = asked.cards * time.frames_per_second
    return _estimated(value, "FPS", f"cards x the card model's, {asked.way}, 640x384, steps 1,1,1")


def _farm(asked: Asked, prices: Prices) -> Table:
    rate = _rate(asked)
    chunks = rate.value / CHUNK_FRAMES
    video = VIDEO_MBIT / 8 * CHUNK_FRAMES / FPS
    upload = chunks * (NEGATIVE_MB + 2 * video)
    kept = chunks * (NEGATIVE_MB + video) * 86_400 * asked.keep_days / 1e6
    takes = chunks * video * 86_400 * 365 / 12 / 1e6
    copy = MODEL_GB[asked.profile] * 8 / asked.network_gbit / 60
    boards = asked.cards * asked.card.watts
    watts = (boards + asked.machines * HOST_WATTS) / SUPPLY_EFFICIENCY
    circuit = asked.volts * asked.amperes * CIRCUIT_SHARE
    power = _assumed(watts / 1000, "kW", "(boards + 75 a machine) / 0.9")
    day = 24 * watts / 1000
    price = prices.electricity
    rows = (
        _one("cards", "cards", _assumed(asked.cards, "", "as asked here")),
        _one("machines", "machines", _assumed(asked.machines, "", "cards / cards of a machine")),
        _one("rate", "frames a second", rate),
        _one("equivalents", "H100s that they are worth", derived(
            rate.value / H100.frames_per_second, "H100s", "FPS / FPS of one H100", rate)),
        _one("upload", "upload to the object store", _assumed(
            8 * upload, "Mbit/s", "negatives 2.2 MB a chunk, segments and takes at 4 Mbit/s")),
        _one("kept", f"chunks kept for {asked.keep_days:g} days", _assumed(
            kept, "TB", "negatives and segments; setting keep_chunks_days")),
        _one("takes", "takes of a month, kept for ever", _assumed(
            takes, "TB", "at 4 Mbit/s")),
        _one("copy", "one copy of the model over one link", _assumed(
            copy, "min", f"bytes / {asked.network_gbit:g} Gbit/s")),
        _one("power", "power at the plug", power),
        _one("circuits", f"circuits of {asked.volts:g} V, {asked.amperes:g} A", derived(
            math.ceil(watts / circuit), "", "power / (V x A x 0.8)", power)),
        _one("heat", "heat to be carried away", derived(
            watts * BTU_PER_WATT, "BTU/h", "W x 3.412", power)),
        _one("energy", "energy of a day", derived(day, "kWh", "24 h x power", power)),
        _one("electricity", "electricity of a day", derived(
            day * price.value, prices.currency, "energy x price of a kWh", power, price)),
    )  # fmt: skip
    return Table("farm", "The farm, all cards at work", VALUE, rows)


def _shopping(asked: Asked, prices: Prices, machine: Table, farm: Table) -> Table:
    def of(table: Table, key: str) -> float:
        found = table.cell(key)
        assert found is not None
        return found.value

    tera = of(farm, "kept") + 12 * of(farm, "takes")
    supply = 50 * math.ceil(of(machine, "watts") * 1.2 / 50)
    spares = max(1, round(0.03 * asked.cards))
    wanted = {
        "card": ("cards", asked.cards, 0.0),
        "spare": ("spare cards, 3%", spares, 0.0),
        "machine": ("machines: board, CPU, cooler, case", asked.machines, 1.0),
        "ram-gb": (f"memory, {of(machine, 'ram'):g} GB each", asked.machines, of(machine, "ram")),
        "ssd-gb": (f"SSD, {of(machine, 'disk'):g} GB each", asked.machines, of(machine, "disk")),
        "supply-watt": (f"power supply, {supply} W each", asked.machines, supply),
        "switch-port": ("switch ports with cables", asked.machines + 2, 1.0),
        "head": ("head: 8 cores, 32 GB, mirrored SSDs", 1, 1.0),
        "store-tb": ("TB of object store: chunks kept, takes of a year", math.ceil(tera), 1.0),
    }
    rows, total = [], []
    for key, (label, number, units) in wanted.items():
        if units:
            source = "--price" if key in asked.part_prices else "farm/plan/sizing.py"
            each = _assumed(units * asked.part_prices.get(key, PARTS[key]), prices.currency, source)
        elif (found := prices.card(asked.card_type)) is not None:
            each = found
        else:
            continue
        together = derived(number * each.value, prices.currency, "number x price", each)
        total.append(together)
        rows.append(row(
            key, label, number=_assumed(number, "", "see above"), each=each, sum=together,
        ))  # fmt: skip
    whole = derived(math.fsum(f.value for f in total), prices.currency, "sum", *total)
    rows.append(row("total", "all of it", sum=whole))
    columns = {"number": "number", "each": "each", "sum": "together"}
    return Table("shopping", "Shopping list", columns, tuple(rows), _notes(farm, whole))


def _notes(farm: Table, whole: Figure) -> tuple[str, ...]:
    cost = per_thousand(farm.cell("rate"), whole)
    published = Figure(H100.frames_per_second, "FPS", H100.basis, H100.source)
    h100 = per_thousand(published, _assumed(H100_PRICE, whole.unit, "the article"))
    assert cost is not None
    assert h100 is not None
    return (
        "prices are assumed, without tax and shipping: --price PART=PRICE puts your own in",
        (
            f"{cost.value:.2f} FPS for 1,000 {whole.unit} of all this; one H100 alone, without "
            f"host and store, {h100.value:.2f}"
        ),
        "no figure was measured on such a card yet",
    )
