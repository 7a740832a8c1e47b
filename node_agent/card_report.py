"""What an agent tells of its card with every exchange: who it is, what it can do, how it is."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from heliostat.v1 import node_service_pb2 as node_pb
from heliostat.v1 import types_pb2 as types_pb
from node_agent.card_settings import CardSettings
from node_agent.engine import Engine
from node_agent.files import bytes_below, free_bytes
from node_agent.outfit import Outfitter
from node_agent.render.messages import Ready
from node_agent.telemetry import CardSenses, card_type
from node_agent.workbench import Counters


def card_report(
    settings: CardSettings,
    engine: Engine,
    senses: CardSenses,
    *,
    incarnation: str,
    condition: str,
    tags: Iterable[str],
    examination: node_pb.Examination | None,
    holding: node_pb.ModelHolding | None,
    outfitter: Outfitter,
) -> node_pb.CardReport:
    """Who speaks, and what the plan matches clips by."""
    about, card = engine.about, senses.identity
    return node_pb.CardReport(
        card_id=settings.card_id,
        node_id=settings.node_id,
        incarnation=incarnation,
        hostname=settings.hostname,
        slot=settings.slot,
        device=card.name if card and card.name else settings.device,
        vram_bytes=card.vram_bytes if card and card.vram_bytes else 0,
        renderer=about.renderer if about else engine.options.renderer,
        model_digest=about.model_digest if about else "",
        stack_id=about.stack_id if about else "",
        condition=condition,
        card_type=_type(settings.device, senses),
        tags=dict.fromkeys(tags),
        profile=about.profiles[0] if about and about.profiles else "",
        models=_models(engine.model, about) if about else (),
        lanes=engine.options.lanes,
        power_cap_watts=senses.sample.power_limit_watts or 0.0,
        examination=examination,
        holding=holding,
        profiles=about.profiles if about else (),
        release=outfitter.release,
        releases=outfitter.releases,
        ready_for=outfitter.ready_for,
    )


def telemetry_report(
    counters: Counters, engine: Engine, senses: CardSenses, spool: Path
) -> types_pb.CardTelemetry:
    """What the card has done, and how it is now."""
    sample = senses.sample
    return types_pb.CardTelemetry(
        frames_rendered=counters.frames_rendered,
        chunks_rendered=counters.chunks_rendered,
        render_seconds=counters.render_seconds,
        bytes_uploaded=counters.bytes_uploaded,
        upload_seconds=counters.upload_seconds,
        upload_retries=counters.upload_retries,
        child_restarts=engine.restarts,
        spool_bytes=bytes_below(spool),
        gpu_uuid=senses.identity.uuid if senses.identity else "",
        power_watts=sample.power_watts,
        energy_joules=senses.energy_joules,
        energy_method=senses.energy_method or "",
        temperature_celsius=sample.temperature_celsius,
        sm_clock_hertz=sample.sm_clock_hertz,
        memory_clock_hertz=sample.memory_clock_hertz,
        throttled_seconds=senses.throttled_seconds,
        vram_used_bytes=sample.vram_used_bytes,
        xid_errors=sample.xid_errors,
        utilization_ratio=sample.utilization_ratio,
        fan_ratio=sample.fan_ratio,
        pcie_generation=sample.pcie_generation,
        pcie_width=sample.pcie_width,
        host_ram_used_bytes=senses.host_ram_used_bytes,
        busy_seconds=counters.busy_seconds,
        idle_seconds=counters.idle_seconds,
        encode_seconds=counters.encode_seconds,
        passes=round(counters.passes),
        pass_seconds=counters.pass_seconds,
        host_ram_bytes=senses.host_ram_bytes,
        spool_free_bytes=free_bytes(spool),
    )


def _type(device: str, senses: CardSenses) -> str:
    """The card's type; "" for a GPU that has not said its name (yet)."""
    if device == "cpu":
        return card_type(None)
    return card_type(senses.identity.name) if senses.identity and senses.identity.name else ""


def _models(directory: Path | None, about: Ready) -> Iterable[str]:
    """All that a model may be asked for by: its directory's name, its own, its digest."""
    names = (directory.name if directory else "", about.model_name, about.model_digest)
    return dict.fromkeys(filter(None, names))
