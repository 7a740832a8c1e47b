"""Every card: what it is, what it has done, and how it is. Fewer than 50 series for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from farm.gateway.metrics.text import Family, counter, gauge, label_text
from heliostat.v1 import types_pb2 as types_pb

Value = Callable[[types_pb.Card], float | None]


def _reading(field: str) -> Value:
    """An optional field of the telemetry, of cards that are online."""
    return lambda card: _told(card, field) if card.online else None


def _told(card: types_pb.Card, field: str) -> float | None:
    telemetry = card.telemetry
    if not telemetry.HasField(field):  # type: ignore[arg-type]
        return None
    value: float = getattr(telemetry, field)
    return value


def _done(field: str) -> Value:
    """A counter of the telemetry; of a card that this coordinator has not heard of, nothing."""
    return lambda card: getattr(card.telemetry, field) if _is_known(card) else None


def _is_known(card: types_pb.Card) -> bool:
    return card.online or card.telemetry.ByteSize() > 0


_GAUGES: Final[tuple[tuple[str, str, Value], ...]] = (
    ("online", "1 when the card was heard of within its lease.", lambda c: c.online),
    (
        "ready",
        "1 when the card takes clips.",
        lambda c: c.condition in ("", "ready") if c.online else None,
    ),
    (
        "silence_seconds",
        "Time since the last exchange.",
        lambda c: c.seen_seconds_ago if _is_known(c) else None,
    ),
    (
        "frames_per_second",
        "Rendered over the last minute.",
        lambda c: c.frames_per_second if c.online else None,
    ),
    (
        "calibrated_frames_per_second",
        "What it should render, by its measured pace and the work it has.",
        lambda c: c.calibrated_frames_per_second or None,
    ),
    ("clips_held", "Clips that the card holds a lease of.", lambda c: len(c.clip_ids)),
    ("memory_bytes", "GPU memory of the card.", lambda c: c.vram_bytes or None),
    (
        "spool_bytes",
        "Bytes that wait on the node's disk.",
        lambda c: c.telemetry.spool_bytes if _is_known(c) else None,
    ),
    ("spool_free_bytes", "Room where the card's spool lies.", _reading("spool_free_bytes")),
    (
        "clock_ahead_seconds",
        "By how much the node's clock is ahead of the coordinator's, at least.",
        lambda c: c.clock_ahead_seconds if c.online and c.HasField("clock_ahead_seconds") else None,
    ),
    (
        "power_limit_watts",
        "What the card's board may take.",
        lambda c: c.power_cap_watts or None,
    ),
    ("power_watts", "Power of the card's board now.", _reading("power_watts")),
    (
        "temperature_celsius",
        "Temperature of the card's chip.",
        _reading("temperature_celsius"),
    ),
    (
        "sm_clock_hertz",
        "Clock of the card's multiprocessors now.",
        _reading("sm_clock_hertz"),
    ),
    ("memory_clock_hertz", "Clock of the card's memory now.", _reading("memory_clock_hertz")),
    (
        "memory_used_bytes",
        "GPU memory in use, by whatever program.",
        _reading("vram_used_bytes"),
    ),
    (
        "utilization_ratio",
        "Share of the time in which a kernel ran.",
        _reading("utilization_ratio"),
    ),
    ("fan_ratio", "Speed of the card's fan, of its highest.", _reading("fan_ratio")),
    (
        "pcie_generation",
        "PCI Express generation now; less when idle.",
        _reading("pcie_generation"),
    ),
    ("pcie_width", "PCI Express lanes now.", _reading("pcie_width")),
    (
        "host_memory_used_bytes",
        "Memory in use on the card's machine.",
        _reading("host_ram_used_bytes"),
    ),
    ("host_memory_bytes", "Memory of the card's machine.", _reading("host_ram_bytes")),
)
"""Name without prefix, help, value. What a card cannot tell is None."""

_COUNTERS: Final[tuple[tuple[str, str, Value], ...]] = (
    (
        "frames_rendered",
        "Frames rendered by this start of the agent.",
        _done("frames_rendered"),
    ),
    (
        "chunks_rendered",
        "Chunks rendered by this start of the agent.",
        _done("chunks_rendered"),
    ),
    ("render_seconds", "Seconds spent rendering.", _done("render_seconds")),
    ("passes", "Denoising passes.", _done("passes")),
    ("pass_seconds", "Seconds in denoising passes.", _done("pass_seconds")),
    (
        "render_busy_seconds",
        "Seconds in denoising passes and decodes, while clips were there to render.",
        _done("busy_seconds"),
    ),
    (
        "render_idle_seconds",
        "Seconds in neither, while clips were there to render.",
        _done("idle_seconds"),
    ),
    (
        "encode_seconds",
        "Seconds spent encoding and writing, beside the next chunk's render.",
        _done("encode_seconds"),
    ),
    ("uploaded_bytes", "Bytes uploaded to the object store.", _done("bytes_uploaded")),
    ("upload_seconds", "Seconds spent uploading.", _done("upload_seconds")),
    ("upload_retries", "Uploads that had to be tried again.", _done("upload_retries")),
    (
        "child_restarts",
        "Starts of the render child after the first.",
        _done("child_restarts"),
    ),
    (
        "throttled_seconds",
        "Slowed down by heat or a lack of power.",
        lambda c: _told(c, "throttled_seconds"),
    ),
    (
        "xid_errors",
        "Critical errors (Xid) that the driver reported.",
        lambda c: _told(c, "xid_errors"),
    ),
)
"""The same, without `_total`; each start of an agent counts from 0."""


def families(cards: Sequence[types_pb.Card]) -> Iterator[Family]:
    """Readings of the cards that are online; of silent ones only what goes on counting."""
    labels = [label_text({"card": card.card_id}) for card in cards]
    yield _info(cards)
    yield _standings(cards)
    for name, text, value in _GAUGES:
        yield _filled(gauge(f"card_{name}", text), cards, labels, value)
    for name, text, value in _COUNTERS:
        yield _filled(counter(f"card_{name}_total", text), cards, labels, value)
    energy = counter(
        "card_energy_joules_total",
        "Of the GPU board only; by its own counter, or from samples of its power.",
    )
    for card in cards:
        energy.add(
            _told(card, "energy_joules"), card=card.card_id, method=card.telemetry.energy_method
        )
    yield energy


def _filled(
    family: Family, cards: Sequence[types_pb.Card], labels: Sequence[str], value: Value
) -> Family:
    for card, label in zip(cards, labels, strict=True):
        family.put(label, value(card))
    return family


def _info(cards: Sequence[types_pb.Card]) -> Family:
    info = gauge("card_info", "What a card is, and where.")
    for card in cards:
        info.add(
            1,
            card=card.card_id,
            node=card.node_id,
            hostname=card.hostname,
            slot=str(card.slot),
            device=card.device,
            renderer=card.renderer,
            uuid=card.telemetry.gpu_uuid,
            rack=card.rack,
            circuit=card.circuit,
            model=next(iter(card.models), ""),
            card_type=card.card_type,
        )
    return info


def _standings(cards: Sequence[types_pb.Card]) -> Family:
    standing = gauge("card_standing", "1 for what a card may do, as a person or a rule decided.")
    for card in cards:
        word = types_pb.Standing.Name(card.standing).removeprefix("STANDING_").lower()
        standing.add(1, card=card.card_id, standing=word)
    return standing
