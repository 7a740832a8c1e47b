"""What a batch should take and cost on today's fleet, with a range. Pure.

Hours are those of a forecast (`farm.plan.forecast`) over paces that were measured, or are of like
cards, or predicted by the card model. The range holds nine cases of ten (`Z`) if logarithms are
normal. Of the time, the standard deviation is

    s² = sum of (share of each measured card · its doubt)² + (sum of share · doubt of the others)²
         + PLAN²

where a card's share is of the speed of all that may render the batch: measured cards err each on
its own, what is only estimated errs together. To the hours come, either way, half of the longest
chunk and `TICKS`, and above, the farm's attempts that were lost or failed for each chunk. Energy
has beside it what is unknown of the watts. Memory is flat in a clip's length; time, energy and
money are linear in its frames.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from farm.domain.batch import Batch, Budget
from farm.domain.clip import CHUNK_FRAMES, Work, chunks_of
from farm.domain.fleet import CardFacts
from farm.domain.profiles import profile_for
from farm.domain.quote import Quote, Range
from farm.domain.spec import NewClip
from farm.plan.card_table import card_of
from farm.plan.card_time import Profile, Run, offloaded, predict
from farm.plan.economics import H100, Baseline, Basis, ModelShape, seconds_per_frame
from farm.plan.forecast import Forecast
from farm.plan.picture import ORDERED_MAX, BatchSeen, Picture, Sizes
from farm.plan.seating import Paced, fits, forecast, paced, take_gap
from farm.plan.tariff import Tariff
from farm.plan.words import count

Z: Final = 1.645
"""Standard deviations that hold nine of ten cases of a normal distribution."""
PLAN: Final = 0.03
"""Relative standard deviation of a forecast whose paces are right (bench/quotes.py)."""
TICKS: Final = 2.0
"""Seconds: exchanges and looks of the coordinator are a second apart."""
WATTS_MEASURED, WATTS_CAP, WATTS_GUESSED = 0.03, 0.2, 0.5
"""Relative standard deviation of a card's watts; assumed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What is to be quoted: a new batch, or what is left of one that is in the picture."""

    batch: Batch
    sizes: Sizes
    """(work, chunks left) → clips, those that cards hold counted in."""
    frames: int
    order: tuple[tuple[Work, int], ...] = ()
    """The same one by one in the order of the file, where they are few."""
    reused: int = 0
    qualities: tuple[str, ...] = ()

    @property
    def clips(self) -> int:
        """To be rendered."""
        return sum(self.sizes.values())

    @property
    def chunks(self) -> int:
        """To be rendered."""
        return sum(chunks * clips for (_, chunks), clips in self.sizes.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """By what work becomes time and money."""

    tariff: Tariff
    cost: Callable[[Work], float]
    """Of a chunk, in the units of paces."""
    model: ModelShape | None
    """What the fleet renders with; None for test cards."""
    baseline: Baseline = H100
    """What the fleet is compared with, whose seconds are the units of cost."""


class Tally:
    """Counts the clips of a submission while its rows come in."""

    def __init__(self) -> None:
        self._sizes: Counter[tuple[Work, int]] = Counter()
        self._qualities: dict[str, None] = {}
        self._order: list[tuple[Work, int]] = []
        self._frames = self._reused = 0

    def add(self, clips: Iterable[NewClip]) -> None:
        """Count these. One whose take is there already costs nothing, nor do chunks that are."""
        for clip in clips:
            spec, origin = clip.spec, clip.origin
            if origin is not None and origin.kind == "reuse":
                self._reused += 1
                continue
            left = max(0, chunks_of(spec.frames) - (origin.chunks if origin else 0))
            size = Work(spec.height, spec.width, spec.steps), left
            self._sizes[size] += 1
            if len(self._order) <= ORDERED_MAX:
                self._order.append(size)
            self._qualities[spec.quality] = None
            self._frames += spec.frames

    def ask(self, batch: Batch) -> Ask:
        """What has been counted, as clips of this batch."""
        return Ask(
            batch=batch,
            sizes=dict(self._sizes),
            frames=self._frames,
            order=tuple(self._order) if len(self._order) <= ORDERED_MAX else (),
            reused=self._reused,
            qualities=tuple(self._qualities),
        )


def ask_of(batch: Batch, clips: Iterable[NewClip]) -> Ask:
    """A submission of these clips."""
    tally = Tally()
    tally.add(clips)
    return tally.ask(batch)


def rest_of(picture: Picture, batch: Batch) -> Ask:
    """What is left of a batch; empty where nothing of it is open."""
    seen = picture.batch(batch.batch_id)
    sizes: dict[tuple[Work, int], int] = dict(seen.waiting) if seen else {}
    for card in picture.cards:
        for held in card.held:
            if held.batch_id == batch.batch_id and held.chunks_left:
                key = held.work, held.chunks_left
                sizes[key] = sizes.get(key, 0) + 1
    frames = sum(n * chunks * CHUNK_FRAMES for (_, chunks), n in sizes.items())
    qualities = seen.qualities if seen else ()
    return Ask(batch=batch, sizes=sizes, frames=frames, qualities=qualities)


def quote(ask: Ask, picture: Picture, rates: Rates) -> Quote:
    """The quote. A batch that is not in the picture comes after all that are."""
    if picture.batch(ask.batch.batch_id) is None:
        seen = BatchSeen(
            batch=ask.batch, waiting=ask.sizes, order=ask.order, qualities=ask.qualities
        )
        picture = replace(picture, batches=(*picture.batches, seen))
    cards = paced(picture.cards, _predictor(ask, rates))
    of_batch = picture.batch(ask.batch.batch_id)
    assert of_batch is not None
    fitting = [each for each in cards if fits(of_batch, each.card)]
    found = None
    if fitting and ask.clips:
        found = forecast(picture, cards, ask.batch.batch_id, rates.cost)
    figures = _Figures(ask, picture, rates, cards, fitting, found)
    return figures.quote()


def below_one_clip(budget: Budget, told: Quote) -> str:
    """Why a budget does not even reach for one clip, with the quote's figures; empty if it does."""
    for what, most, whole in _caps(budget, told):
        one = whole.likely / max(1, told.clips)
        if most < one:
            return f"the budget of {most:g} {what} is below one clip, which takes {one:.3g} {what}"
    return ""


def above(budget: Budget, told: Quote) -> str:
    """In what a quote is above a budget; empty where it is not."""
    parts = [
        f"{whole.likely:.3g} {what} ({whole.low:.3g} to {whole.high:.3g}) of {most:g}"
        for what, most, whole in _caps(budget, told)
        if whole.likely > most
    ]
    return ", ".join(parts)


def _caps(budget: Budget, told: Quote) -> list[tuple[str, float, Range]]:
    caps = (
        (told.currency, budget.money, told.money),
        ("card hours", budget.hours, told.card_hours),
        ("kWh", budget.kilowatt_hours, told.kilowatt_hours),
    )
    return [(w, most, whole) for w, most, whole in caps if most is not None and whole is not None]


def _predictor(ask: Ask, rates: Rates) -> Callable[[CardFacts], float | None]:
    """The card model's pace for the most frequent work of the batch."""
    usual = max(ask.sizes, key=lambda key: key[1] * ask.sizes[key], default=None)
    model = rates.model

    def pace(facts: CardFacts) -> float | None:
        card = card_of(facts.card_type, facts.vram_bytes)
        if card is None or model is None or usual is None:
            return None
        quality = ask.qualities[0] if ask.qualities else "standard"
        name = profile_for(quality, facts.profiles, ask.batch.needs.profile)
        profile = Profile(name) if name in tuple(Profile) else Profile.EXACT
        try:
            run = offloaded(card, Run(profile=profile), model)
            return predict(card, run, model, usual[0]).seconds / rates.cost(usual[0])
        except ValueError:
            return None

    return pace


@dataclass(slots=True)
class _Figures:
    """A quote in the making."""

    ask: Ask
    picture: Picture
    rates: Rates
    cards: Sequence[Paced]
    """All of the picture."""
    fitting: Sequence[Paced]
    found: Forecast | None

    def quote(self) -> Quote:
        ask, tariff, found = self.ask, self.rates.tariff, self.found
        card_hours = hours = kwh = power = money = None
        if not ask.clips:
            card_hours = hours = kwh = power = money = Range(0.0, 0.0, 0.0)
        elif found is not None and not found.never:
            s = self._doubt()
            card_hours = _range(sum(found.card_seconds.values()) / 3600, s)
            hours = self._hours(found, s)
            joules, watts = self._joules(found)
            kwh = _range(joules / 3.6e6, math.hypot(s, watts))
            power = _times(kwh, tariff.electricity_price)
            wear = _times(card_hours, self._wear(found) / max(card_hours.likely, 1e-12))
            money = Range(power.likely + wear.likely, power.low + wear.low, power.high + wear.high)
        h100 = self._h100_seconds()
        return Quote(
            quoted_at=self.picture.at,
            clips=ask.clips,
            frames=ask.frames,
            chunks=ask.chunks,
            cards=len(self.fitting),
            cards_measured=sum(each.basis is Basis.MEASURED for each in self.fitting),
            card_hours=card_hours,
            hours=hours,
            kilowatt_hours=kwh,
            electricity_money=power,
            money=money,
            money_per_clip=money.likely / ask.clips if money and ask.clips else 0.0,
            h100_hours=h100 / 3600,
            h100_money=h100 / 3600 * tariff.h100_hour_price,
            h100_equivalents=self._equivalents(h100),
            cloud_money=Range(*tariff.cloud(ask.clips, ask.frames)),
            currency=tariff.currency,
            basis=self._basis().value,
            notes=tuple(self._notes()),
            reused=ask.reused,
        )

    def _basis(self) -> Basis:
        """That of the least known card that would render it."""
        bases = {each.basis for each in self.fitting} or {Basis.ESTIMATED}
        order = (Basis.ESTIMATED, Basis.CALIBRATED, Basis.MEASURED)
        return next(basis for basis in order if basis in bases)

    def _doubt(self) -> float:
        speed = sum(1 / each.pace for each in self.fitting)
        apart = together = 0.0
        for each in self.fitting:
            part = each.doubt / each.pace / speed
            if each.basis is Basis.MEASURED:
                apart += part**2
            else:
                together += part
        return math.sqrt(apart + together**2 + PLAN**2)

    def _hours(self, found: Forecast, s: float) -> Range:
        end = found.end + take_gap(self.picture.timing)
        more = found.chunk_seconds_max / 2 + TICKS
        factor = math.exp(Z * s)
        return Range(
            end / 3600,
            max(0.0, end / factor - more) / 3600,
            (end * factor * (1 + self.picture.waste) + more) / 3600,
        )

    def _joules(self, found: Forecast) -> tuple[float, float]:
        """Of the cards' boards, and the relative standard deviation of their watts."""
        joules = unknown = 0.0
        for index, seconds in found.card_seconds.items():
            facts, measured = self.cards[index].card.facts, self.cards[index].card.timing.watts
            known = facts.power_cap_watts or card_of(facts.card_type, facts.vram_bytes)
            guess = WATTS_CAP if known else WATTS_GUESSED
            watts = self.rates.tariff.watts_of(facts.card_type, facts.power_cap_watts)
            each = seconds * (watts if measured is None else measured)
            joules += each
            unknown += each * (guess if measured is None else WATTS_MEASURED)
        return joules, unknown / joules if joules else 0.0

    def _wear(self, found: Forecast) -> float:
        """The cards' share of their price."""
        return sum(
            seconds / 3600 * self.rates.tariff.card_hour(self.cards[index].card.facts.card_type)
            for index, seconds in found.card_seconds.items()
        )

    def _h100_seconds(self) -> float:
        model = self.rates.model
        return sum(
            clips * chunks * CHUNK_FRAMES * seconds_per_frame(work, model, H100)
            for (work, chunks), clips in self.ask.sizes.items()
        )

    def _equivalents(self, h100_seconds: float) -> float:
        cost = self.rates.cost
        units = sum(n * chunks * cost(work) for (work, chunks), n in self.ask.sizes.items())
        return h100_seconds / units * sum(1 / c.pace for c in self.fitting) if units else 0.0

    def _notes(self) -> list[str]:
        batch, notes = self.ask.batch, []
        if not self.fitting:
            return ["no card that is here may render it: its end cannot be foreseen"]
        for basis, said in (
            (Basis.MEASURED, "with a measured pace"),
            (Basis.CALIBRATED, "not measured, taken for others of the type"),
            (Basis.ESTIMATED, "not measured, the pace is estimated"),
        ):
            if number := sum(each.basis is basis for each in self.fitting):
                notes.append(f"{count(number, 'card')} {said}")
        if self.found is not None and self.found.never:
            notes.append(
                f"{count(self.found.never, 'clip')} would never come to a card: no end is foreseen"
            )
        if any(each.card.timing.watts is None for each in self.fitting):
            notes.append("watts are estimated, at most the cards' power caps; machines' are not in")
        if unpriced := sorted(
            {
                each.card.facts.card_type or "unknown"
                for each in self.fitting
                if not self.rates.tariff.price_of(each.card.facts.card_type)
            }
        ):
            notes.append(f"no price is known of cards of type {', '.join(unpriced)}")
        paused = [each for each in self.picture.batches if each.batch.state != "open"]
        if others := sum(each.batch.batch_id != batch.batch_id for each in paused):
            notes.append(f"{count(others, 'batch').replace('batchs', 'batches')} paused: not ahead")
        if batch.after or any(each.batch.after for each in self.picture.batches):
            notes.append("batches that wait for others are counted as if they could begin")
        if batch.first_look:
            notes.append("how long people take for their first looks is not in it")
        if self.rates.model is None:
            notes.append("test cards: no H100 to compare with")
        notes.append("cards that come or go and batches that go before it later are not in it")
        notes.append("memory is flat, time and cost are linear in frames")
        return notes


def _range(likely: float, s: float) -> Range:
    factor = math.exp(Z * s)
    return Range(likely, likely / factor, likely * factor)


def _times(each: Range, by: float) -> Range:
    return Range(each.likely * by, each.low * by, each.high * by)
