"""The article that the farm was conceived to test: its sums again, and what they leave out. Pure.

"Helios Turns a $400 GPU Into a Real-Time AI Video Studio", of the series "Benchmark Reality
Checks". All money is in US dollars.
"""

from __future__ import annotations

from typing import Final

from farm.domain.clip import CHUNK_FRAMES, Work, chunks_of
from farm.plan.card_table import CARDS
from farm.plan.economics import H100, HELIOS, RTX_4060_TI, Basis, ModelShape, cards_for
from farm.plan.money.comparators import ARTICLE
from farm.plan.money.compression import (
    CLAIMED_COMPRESSION,
    PARAMETERS,
    claimed_factors,
    saving,
    stages_of,
    tflop_uncompressed,
)
from farm.plan.money.figure import Figure, Row, Table, derived
from farm.plan.money.fleet_tables import row
from farm.plan.money.payback import (
    MONTHS_OF_YEAR,
    TIERS,
    WEEKS_OF_YEAR,
    Year,
    break_even,
    year_of,
)
from farm.plan.tariff import CLOUD_FPS, Tariff

H100_PRICE: Final = 25_000.0
CARD_PRICE: Final = 400.0
ROUNDED_H100: Final = 19.5
"""FPS, as its text has it."""
ELECTRICITY: Final = 0.01
"""Of a clip."""
CLOUD_LOW, CLOUD_AVERAGE, CLOUD_HIGH = 2.0, 4.0, 8.0
WEEKLY_CLIPS, WEEKLY_CLOUD = 10, 5.0
MINUTE_LOW, MINUTE_HIGH = 15.0, 25.0
"""Of 60 s in a cloud."""
HOST_RAM_GB: Final = (80, 85)
"""That the stock pipeline's mode for little VRAM takes: Helios issue 141."""
OURS_RAM_GB: Final = 31.4
"""That ours takes for the same 6 GB of VRAM, in bfloat16: docs/rendering.md, estimated."""
TOLD: Final = Figure(0.0, "", Basis.PUBLISHED, ARTICLE)


def cards_bought() -> int:
    """RTX 4060 Ti for the price of an H100: 62."""
    return cards_for(H100_PRICE, CARD_PRICE)


def nodes_bought(host_price: float, *, h100_host: bool = False) -> int:
    """The same where each brings its share of a machine, as the H100 does with `h100_host`."""
    return cards_for(H100_PRICE + (host_price if h100_host else 0.0), CARD_PRICE + host_price)


def aggregate(cards: int, each: float = RTX_4060_TI.frames_per_second) -> float:
    """Frames a second of so many cards together: 62 x 2.5 = 155."""
    return cards * each


def tier_years() -> list[Year]:
    """Freelancer, studio, production house: 2,394.00, 9,576.00 and 47,880.00 saved."""
    return [year_of(tier.monthly * MONTHS_OF_YEAR, CLOUD_AVERAGE, ELECTRICITY) for tier in TIERS]


def weekly_year() -> Year:
    """10 clips a week at 5 dollars: 2,594.80 saved."""
    return year_of(WEEKLY_CLIPS * WEEKS_OF_YEAR, WEEKLY_CLOUD, ELECTRICITY)


def chunks_of_seconds(seconds: float) -> int:
    """Chunks that a card renders for so much video at 24 frames a second."""
    return chunks_of(round(seconds * CLOUD_FPS))


def electricity_of(seconds: float, rate: float, watts: float, price: float) -> float:
    """Of a clip of so many seconds, on a card of so many frames a second and watts."""
    frames = chunks_of_seconds(seconds) * CHUNK_FRAMES
    return frames / rate * watts / 3.6e6 * price


def claims_table(tariff: Tariff) -> Table:
    """Its figures as it has them, and as its own inputs give them."""
    cards, year = cards_bought(), weekly_year()
    rate = aggregate(cards)
    hosts = nodes_bought(tariff.host_price)

    def told(value: float, unit: str = "") -> Figure:
        return Figure(value, unit, Basis.PUBLISHED, ARTICLE)

    def again(value: float, unit: str, source: str) -> Figure:
        return derived(value, unit, source, TOLD)

    def mine(value: float, unit: str, source: str) -> Figure:
        return Figure(value, unit, Basis.ASSUMED, source)

    rows = [
        row("cards", "cards for the price of one H100", "62.5, of which 62 are whole",
            told=told(62), again=again(cards, "", "25,000 / 400"),
            corrected=mine(hosts, "", f"25,000 / (400 + {tariff.host_price:g} for a host)")),
        row("rate", "their FPS together", "hosts counted in on the right",
            told=told(155, "FPS"), again=again(rate, "FPS", "62 x 2.5"),
            corrected=mine(aggregate(hosts), "FPS", f"{hosts} x 2.5")),
        row("times", "times one H100", "7.9, be it of 19.5 or 19.53 FPS",
            told=told(8, "x"), again=again(rate / ROUNDED_H100, "x", "155 / 19.5"),
            corrected=mine(aggregate(hosts) / H100.frames_per_second, "x", "their FPS / 19.53")),
        row("break_even", "generations until a card is paid", "200 to 300 in the article",
            told=told(200, "clips"),
            again=again(break_even(CARD_PRICE, CLOUD_LOW), "clips", "400 / 2"),
            corrected=mine(break_even(CARD_PRICE + tariff.host_price, CLOUD_LOW, ELECTRICITY),
                           "clips", f"(400 + {tariff.host_price:g}) / (2 - 0.01)")),
        *(row(f"tier_{tier.monthly}", f"saved a year, {tier.monthly} clips a month",
              f"{one.cloud:,.0f} in a cloud, {one.own:,.0f} of electricity",
              told=told(one.saved, "USD"),
              again=again(one.saved, "USD", f"{tier.monthly} x 12 x (4 - 0.01)"))
          for tier, one in zip(TIERS, tier_years(), strict=True)),
        row("weekly", "saved a year, 10 clips a week at 5 USD",
            f"{year.cloud:,.2f} against {year.own:,.2f}",
            told=told(2594.80, "USD"), again=again(year.saved, "USD", "10 x 52 x (5 - 0.01)")),
        row("minute", "60 s of video against 5 s, times the work",
            "the article: the same compute. Memory is flat, time, energy and cost are linear",
            told=told(1, "x"),
            corrected=Figure(chunks_of_seconds(60) / chunks_of_seconds(5), "x", Basis.ESTIMATED,
                             "44 chunks of 33 frames against 4; 12 by frames alone")),
        row("ram", "GB of host RAM, where 6 GB of VRAM are enough",
            "the article tells of VRAM alone; issue 141 of Helios: 80 to 85 GB of RAM",
            corrected=Figure(HOST_RAM_GB[1], "GB", Basis.PUBLISHED, "Helios issue 141"),
            ours=Figure(OURS_RAM_GB, "GB", Basis.ESTIMATED, "docs/rendering.md")),
        *_electricity_rows(tariff),
    ]  # fmt: skip
    columns = {
        "told": "the article",
        "again": "its sum again",
        "corrected": "corrected",
        "ours": "this farm",
    }
    notes = (
        "the sums are right; what they leave out are hosts, RAM, and that time grows with frames",
        "nobody has measured an RTX 4060 Ti: 2.5 FPS is a midpoint, with steps untold",
    )
    return Table("article", "The article's sums", columns, tuple(rows), notes)


def _electricity_rows(tariff: Tariff) -> list[Row]:
    watts, price = CARDS["rtx-4060-ti"].watts, tariff.electricity_price
    source = f"frames of whole chunks / 2.5 FPS x {watts:g} W x {price:g} a kWh"
    return [
        row(
            f"electricity_{seconds}",
            f"electricity of {seconds} s of video",
            "of the board alone",
            told=Figure(ELECTRICITY, "USD", Basis.PUBLISHED, ARTICLE),
            corrected=Figure(
                electricity_of(seconds, RTX_4060_TI.frames_per_second, watts, price),
                "USD",
                Basis.ASSUMED,
                source,
            ),
        )
        for seconds in (5, 60)
    ]


def arithmetic_table(model: ModelShape = HELIOS["distilled"], work: Work = H100.work) -> Table:
    """TFLOP of a chunk by stage, and of the same chunk without pyramid and compressed memory."""
    stages, counted = stages_of(model, work), Basis.ESTIMATED

    def figure(value: float, unit: str, source: str) -> Figure:
        return Figure(value, unit, counted, source)

    whole = sum(stage.tflop for stage in stages)
    rows = [
        row(
            f"stage_{index}",
            f"stage {index} of {len(stages)}",
            main=figure(stage.main, "tokens", "denoised"),
            history=figure(stage.history, "tokens", "remembered"),
            passes=figure(stage.passes, "", "steps x passes of a step"),
            per_pass=figure(stage.tflop_per_pass, "TFLOP", "farm/plan/economics.py"),
            chunk=figure(stage.tflop, "TFLOP", "passes x TFLOP"),
            frame=figure(stage.tflop / CHUNK_FRAMES, "TFLOP", "TFLOP / 33 frames"),
        )
        for index, stage in enumerate(stages, 1)
    ]
    for key, label, pyramid, memory in (
        ("chunk", "the chunk as it is rendered", True, True),
        ("no_pyramid", "every pass at full size", False, True),
        ("no_memory", "memory as fine as the picture", True, False),
        ("neither", "neither of the two", False, False),
    ):
        each = tflop_uncompressed(model, work, pyramid=pyramid, memory=memory)
        rows.append(
            row(
                key,
                label,
                chunk=figure(each, "TFLOP", "the same passes"),
                frame=figure(each / CHUNK_FRAMES, "TFLOP", "TFLOP / 33 frames"),
                times=figure(each / whole, "x", "against the chunk as it is rendered"),
            )
        )
    remembered, denoised = claimed_factors(work, model)
    columns = {
        "main": "tokens",
        "history": "remembered",
        "passes": "passes",
        "per_pass": "TFLOP a pass",
        "chunk": "TFLOP a chunk",
        "frame": "TFLOP a frame",
        "times": "times",
    }
    notes = (
        (
            f"the claim of {CLAIMED_COMPRESSION}x is {remembered:.3g} (tokens remembered) times "
            f"{denoised:.3g} (tokens denoised): they are different tokens and do not multiply; of "
            f"the arithmetic {saving(model, work):.2f}x is saved"
        ),
        (
            f"764M parameters is 14,000M / {CLAIMED_COMPRESSION}: all {PARAMETERS / 1e9:.1f} "
            "billion take part in every pass, and lie in memory or come over the link"
        ),
    )
    title = "Arithmetic of a chunk: what compression saves"
    return Table("arithmetic", title, columns, tuple(rows), notes)
