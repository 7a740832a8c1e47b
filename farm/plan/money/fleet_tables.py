"""A fleet in figures: what it renders, is worth, costs and draws; what more cards change. Pure."""

from __future__ import annotations

from dataclasses import replace

from farm.plan.economics import Baseline, Basis
from farm.plan.money.comparators import Comparator
from farm.plan.money.costs import Costs, cost_of, hardware_of
from farm.plan.money.figure import Figure, Row, Table, derived
from farm.plan.money.machines import Group, Machines, assumed
from farm.plan.money.scenario import ASKED, Prices
from farm.plan.words import count

VALUE = {"value": ""}


def row(key: str, label: str, note: str = "", /, **cells: Figure | None) -> Row:
    """A row of what is known."""
    known = {name: figure for name, figure in cells.items() if figure is not None}
    return Row(key, label, known, note)


def ratio(one: Figure | None, by: Figure | None, unit: str, source: str) -> Figure | None:
    """One figure over another; None where either is not known, or nothing."""
    if one is None or by is None or by.value <= 0:
        return None
    return derived(one.value / by.value, unit, source, one, by)


def per_thousand(rate: Figure | None, price: Figure | None) -> Figure | None:
    """Frames a second for 1,000 of money."""
    found = ratio(rate, price, "FPS", "FPS / price x 1,000")
    return None if found is None else replace(found, value=1000 * found.value)


def per_kilowatt(rate: Figure | None, watts: Figure | None) -> Figure | None:
    """Frames a second for 1,000 W of the boards."""
    found = ratio(rate, watts, "FPS", "FPS / W x 1,000, boards alone")
    return None if found is None else replace(found, value=1000 * found.value)


def fleet_table(machines: Machines, prices: Prices, baseline: Baseline) -> Table:
    """The fleet as a whole."""
    costs, rate, watts = Costs(machines, prices), machines.rate, machines.watts
    cards, nodes = (machines.price(prices, nodes=nodes) for nodes in (False, True))
    per_clip = f"a generation of {prices.asked.clip_seconds:g} s"
    thousand = f"FPS for 1,000 {prices.currency}"
    of_baseline = Figure(
        baseline.frames_per_second, "FPS", baseline.basis, f"{baseline.name}: {baseline.source}"
    )
    rows = (
        row("cards", "cards", value=_cards(machines.cards, machines)),
        row("rendering", "FPS rendered now", value=machines.rendering),
        row("rate", "FPS with all cards at work", value=rate),
        row("baseline", f"FPS of one {baseline.name}", value=of_baseline),
        row("equivalents", "H100s that they are worth", value=machines.equivalents),
        row("price_cards", "price of the cards alone", value=cards),
        row("price_nodes", "price of whole nodes", value=nodes),
        row("fps_per_1000_cards", f"{thousand} of cards", value=per_thousand(rate, cards)),
        row("fps_per_1000_nodes", f"{thousand} of whole nodes", value=per_thousand(rate, nodes)),
        row("watts", "power of all boards at work", value=watts),
        row("fps_per_kilowatt", "FPS per kilowatt", value=per_kilowatt(rate, watts)),
        row("fps_per_watt", "FPS per watt", value=ratio(rate, watts, "FPS", "FPS / W")),
        row("utilisation", "part of their time that cards render", value=costs.utilisation),
        row("card_seconds", f"time of a card for {per_clip}", value=costs.card_seconds),
        row("joules", f"energy of {per_clip}", value=costs.joules),
        row("electricity", f"electricity of {per_clip}", value=costs.electricity),
        row("cost_cards", f"{per_clip}, with the cards' share", value=costs.whole(nodes=False)),
        row("cost_nodes", f"{per_clip}, with the nodes' share", value=costs.whole(nodes=True)),
        row("life_joules", "energy of a delivered second", value=machines.joules_per_second),
        row("life_money", "cost of a delivered second", value=machines.money_per_second),
        row("capacity", "generations that it can make in a month", value=costs.capacity),
        row("monthly", "generations a month that are reckoned with", value=costs.monthly),
        row("backlog", "time until all that is open is done", value=_backlog(machines)),
    )
    kept = tuple(each for each in rows if each.cells)
    return Table("fleet", "The fleet", VALUE, kept, tuple(_notes(machines, prices)))


def _cards(number: int, machines: Machines) -> Figure:
    if machines.is_there:
        return Figure(number, "", Basis.MEASURED, "the farm")
    return Figure(number, "", Basis.ASSUMED, ASKED)


def _backlog(machines: Machines) -> Figure | None:
    seconds = machines.backlog_seconds
    if seconds is None:
        return None
    return Figure(seconds, "s", Basis.ESTIMATED, "open work over the paces of all cards")


def _notes(machines: Machines, prices: Prices) -> list[str]:
    notes = []
    if not machines.cards:
        notes.append(
            "no card has joined: `farm economics --offline --cards 62 --card-type rtx-4060-ti` "
            "reckons with a fleet before it is bought"
        )
        return notes
    if machines.is_testcard:
        notes.append("these cards draw test cards: their frames are no model's, and no H100's")
    if machines.rendering is not None and machines.rendering.value <= 0:
        notes.append("nothing renders now: the figures are those of all cards at work")
    if missing := machines.unpriced(prices):
        notes.append(f"no price is known of {', '.join(missing)}: set card_prices, or give --price")
    unknown = [group.card_type for group in machines.groups if group.rate is None]
    if unknown:
        remedy = "until they have rendered" if machines.is_there else "give --fps"
        notes.append(f"nothing is known of the speed of {', '.join(unknown)}: {remedy}")
    notes.append("watts are of the boards alone: machines around them draw more")
    return notes


def cards_table(machines: Machines, prices: Prices) -> Table:
    """One card of each type."""
    columns = {
        "cards": "cards",
        "rate": "FPS of one",
        "equivalent": "H100s",
        "watts": "watts",
        "price": "price",
        "node": "with its host",
        "fps_per_1000": f"FPS for 1,000 {prices.currency}",
        "fps_per_1000_nodes": "with hosts",
    }
    rows = tuple(
        row(
            group.card_type,
            group.card_type,
            cards=_cards(group.cards, machines),
            rate=group.rate,
            equivalent=group.equivalent,
            watts=group.watts,
            price=prices.card(group.card_type),
            node=prices.node(group.card_type),
            fps_per_1000=per_thousand(group.rate, prices.card(group.card_type)),
            fps_per_1000_nodes=per_thousand(group.rate, prices.node(group.card_type)),
        )
        for group in machines.groups
    )
    return Table("cards", "One card of each type", columns, rows)


def comparators_table(
    machines: Machines, others: tuple[Comparator, ...], prices: Prices, baseline: Baseline
) -> Table:
    """The fleet beside everything that it is compared with."""
    rate, costs = machines.like(baseline), Costs(machines, prices)
    columns = {
        "rate": "FPS",
        "price": "hardware",
        "fps_per_1000": f"FPS for 1,000 {prices.currency}",
        "fps_per_kilowatt": "FPS per kW",
        "cost": f"{prices.asked.clip_seconds:g} s of video",
        "minute": "60 s of video",
        "fleet": "the fleet is so many",
        "quality": "quality",
    }
    minute = Prices(prices.tariff, replace(prices.asked, clip_seconds=60.0))
    rows = []
    if rate is not None:
        for key, label, nodes in (
            ("fleet-cards", "this fleet, cards alone", False),
            ("fleet-nodes", "this fleet, whole nodes", True),
        ):
            price = machines.price(prices, nodes=nodes)
            rows.append(
                row(
                    key,
                    label,
                    rate=rate,
                    price=price,
                    fps_per_1000=per_thousand(rate, price),
                    fps_per_kilowatt=per_kilowatt(rate, machines.watts),
                    cost=costs.whole(nodes=nodes),
                    minute=Costs(machines, minute).whole(nodes=nodes),
                )
            )
    rows += [_other(each, rate, prices, minute) for each in others]
    notes = (
        "the fleet's FPS are those of the baseline's work, like for like; test cards have none",
        "cost of a generation = electricity + price x time / life; rented: hours x price",
        (
            "frame rates of other models and sizes are not like for like; quality is published by "
            "each model's own authors, and only scores of one benchmark compare"
        ),
        (
            "a second costs a cloud's customer the same in a short and a long video; a generation "
            "is as short as the cloud makes it, so its price is not multiplied for 60 s"
        ),
    )
    return Table("comparators", "Beside others", columns, tuple(rows), notes)


def _other(other: Comparator, fleet: Figure | None, prices: Prices, minute: Prices) -> Row:
    def told(value: float, unit: str, source: str = other.source) -> Figure | None:
        return Figure(value, unit, other.basis, source) if value > 0 else None

    rate, price = told(other.frames_per_second, "FPS"), hardware_of(other, prices)
    per_generation = cost_of(other, minute) == cost_of(other, prices)
    return row(
        other.name,
        other.title or other.name,
        other.source,
        rate=rate,
        price=price,
        fps_per_1000=per_thousand(rate, price),
        fps_per_kilowatt=per_kilowatt(rate, told(other.watts, "W")),
        cost=cost_of(other, prices),
        minute=None if per_generation else cost_of(other, minute),
        fleet=ratio(fleet, rate, "x", "FPS of the fleet / its FPS"),
        quality=told(other.quality, "", other.quality_of),
    )


def more_table(machines: Machines, prices: Prices, baseline: Baseline) -> Table | None:
    """What the cards that are asked about would change."""
    asked = prices.asked
    if not asked.add_cards:
        return None
    added = _added(machines, prices, baseline)
    one = replace(machines, groups=(added,), joules_per_second=None)
    both = replace(machines, groups=(*machines.groups, added))
    three = {"now": machines, "added": one, "then": both}
    if machines.is_testcard:  # whose frames add up with no model's
        three = {"added": one}
    costs = {name: Costs(each, prices) for name, each in three.items()}
    rates = {name: each.rate for name, each in three.items()}
    watts = {name: each.watts for name, each in three.items()}
    bought = {name: each.price(prices, nodes=False) for name, each in three.items()}
    whole = {name: each.price(prices, nodes=True) for name, each in three.items()}
    backlog = _backlog(machines)
    later = None
    now, then = rates.get("now"), rates.get("then")
    if backlog is not None and now is not None and then is not None:
        rest = backlog.value * now.value / then.value
        later = derived(rest, "s", "time x FPS now / FPS then", backlog, then)
    month = costs["added"].capacity
    electricity = costs["added"].electricity
    saved = None
    if month is not None and electricity is not None:
        a_month = month.value * max(0.0, prices.cloud.value - electricity.value)
        source = "generations x (price in a cloud - electricity)"
        saved = derived(a_month, prices.currency, source, month, electricity, prices.cloud)
    rows = (
        row("rate", "FPS with all cards at work", **rates),
        row("equivalents", "H100s", **{n: each.equivalents for n, each in three.items()}),
        row("price_cards", "price of the cards alone", **bought),
        row("price_nodes", "price of whole nodes", **whole),
        row("watts", "power of the boards", **watts),
        row("fps_per_kilowatt", "FPS per kilowatt",
            **{n: per_kilowatt(rates[n], watts[n]) for n in three}),
        row("fps_per_1000_nodes", f"FPS for 1,000 {prices.currency} of whole nodes",
            **{n: per_thousand(rates[n], whole[n]) for n in three}),
        row("capacity", "generations in a month", **{n: c.capacity for n, c in costs.items()}),
        row("saved", "saved a month, all of them made here and not in a cloud", added=saved),
        row("months", "months until the nodes have paid for themselves",
            added=ratio(whole["added"], saved, "months", "price / saved a month")),
        row("backlog", "time until all that is open is done", now=backlog, then=later),
    )  # fmt: skip
    title = f"{count(asked.add_cards, asked.add_type)} more".replace("s more", " more")
    notes = []
    if machines.is_testcard:
        notes.append("test cards' frames are no model's: the fleet of now is left out")
    if added.rate is None:
        notes.append(f"nothing is known of the speed of {asked.add_type}: see `farm speed`")
    if prices.card(asked.add_type) is None:
        notes.append(f"no price is known of {asked.add_type}: give --price {asked.add_type}=…")
    columns = {name: name for name in three}
    return Table("more", title, columns, tuple(r for r in rows if r.cells), tuple(notes))


def _added(machines: Machines, prices: Prices, baseline: Baseline) -> Group:
    """As the cards of its type that are there, else as the card model predicts."""
    asked = prices.asked
    like = next((g for g in machines.groups if g.card_type == asked.add_type), None)
    if like is None or like.rate is None:
        return assumed(asked.add_type, asked.add_cards, prices, None, baseline)
    rate = like.rate
    if rate.basis is Basis.MEASURED:
        rate = replace(rate, basis=Basis.CALIBRATED, source="as the cards of its type")
    return replace(like, cards=asked.add_cards, rate=rate)
