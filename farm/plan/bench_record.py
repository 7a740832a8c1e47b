"""What `farm-node bench` measured of a card, as the card model takes it. Pure.

The contract is `docs/bench.schema.json`; of it, this reads what a prediction is made of. A record
that cannot tell of a card of the table, with a model of full size, is refused with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from pydantic import BaseModel, Field, ValidationError

from farm.domain.clip import Work
from farm.domain.errors import FarmError
from farm.plan.card_fit import Fit, Measured, fitted
from farm.plan.card_table import CARDS, Card, card_of
from farm.plan.card_time import COMPILED_BYTES, EAGER_BYTES, Attention, Profile, Run, Vae
from farm.plan.economics import HELIOS, ModelShape, shape_of, steps_of

FORMAT_VERSION: Final = 1
PIXELS_MIN: Final = 384 * 640
"""Of a picture: below the trained size a card is not busy enough to show its arithmetic."""


class BadRecord(FarmError):
    """A bench record that says nothing of a card's speed that could be used."""

    reason = "BAD_BENCH_RECORD"


@dataclass(frozen=True, slots=True, kw_only=True)
class CardRecord:
    """What one record says of a card."""

    card: Card
    measured: tuple[Measured, ...]
    link_rate: float
    """GB/s of copies from pinned memory to the card; 0 where none were measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """All that records say of one type of card, and what it makes of the predictions."""

    card: Card
    measured: tuple[Measured, ...]
    fit: Fit


class _Figure(BaseModel):
    median: float = Field(gt=0)


class _Card(BaseModel):
    kind: str
    name: str
    type: str
    bytes_vram_total: int = 0


class _Model(BaseModel):
    variant: str
    profile: str
    compiled: bool
    attention: str
    blocks: int
    heads: int
    head_dim: int
    ffn_dim: int
    bytes_streamed_per_pass: int = Field(ge=0)


class _Stage(BaseModel):
    width: int
    height: int
    passes_per_round: int
    seconds_per_pass: _Figure


class _Case(BaseModel):
    steps: tuple[int, ...]
    lanes: int = Field(ge=1)
    arithmetic: str
    vae: str
    seconds_per_chunk: _Figure
    stages: tuple[_Stage, ...] = Field(min_length=1)


class _Decode(BaseModel):
    precision: str
    seconds_per_chunk: _Figure


class _Copy(BaseModel):
    bytes_per_second_to_device_pinned: _Figure


class _Record(BaseModel):
    format_version: int
    card: _Card
    model: _Model
    width: int
    height: int
    cases: tuple[_Case, ...] = Field(min_length=1)
    decode: tuple[_Decode, ...]
    copy_: _Copy | None = Field(default=None, alias="copy")


def card_record(file: str, value: Any) -> CardRecord:
    """What a record, read from JSON, says of a card; `file` is for messages.

    Raises `BadRecord` with the file, the field, what is wrong and what to do.
    """
    try:
        record = _Record.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the record"
        raise BadRecord(
            f"{file}: {where}: {first['msg']}; measure again with this version's"
            " `farm-node bench --out FILE`"
        ) from None
    if record.format_version != FORMAT_VERSION:
        raise BadRecord(
            f"{file}: format_version: {record.format_version}, and {FORMAT_VERSION} is read here;"
            " use the farm and the node agent of one version"
        )
    card, model = _card(file, record.card), _model(file, record)
    if record.width * record.height < PIXELS_MIN:
        raise BadRecord(
            f"{file}: width, height: {record.width}x{record.height} is too small to keep a card"
            " busy, so it tells nothing of larger pictures; measure with --size 640x384"
        )
    return CardRecord(
        card=card,
        measured=tuple(
            _measured(f"{file}: cases.{number}", record, case, model)
            for number, case in enumerate(record.cases)
        ),
        link_rate=_link_rate(record),
    )


def calibrations(records: Iterable[CardRecord]) -> dict[str, Calibration]:
    """By type of card, what all its records say together."""
    by_type: dict[str, list[CardRecord]] = {}
    for record in records:
        by_type.setdefault(record.card.name, []).append(record)
    return {name: _calibration(found) for name, found in by_type.items()}


def _calibration(records: list[CardRecord]) -> Calibration:
    card = records[0].card
    rates = [record.link_rate for record in records if record.link_rate]
    measured = tuple(each for record in records for each in record.measured)
    fit = fitted(card, measured, median(rates or [0.0]))
    return Calibration(card=card, measured=measured, fit=fit)


def _card(file: str, said: _Card) -> Card:
    if said.kind != "cuda":
        raise BadRecord(
            f"{file}: card.kind: {said.kind}: a CPU says nothing of a card; measure one with"
            " `farm-node bench --random-weights --device cuda:0 --out FILE`"
        )
    if card := card_of(said.type, said.bytes_vram_total):
        return card
    raise BadRecord(
        f"{file}: card.type: {said.type} ({said.name}) is not in the card table"
        f" (farm/plan/card_table.py), which has {', '.join(sorted(CARDS))}; add its peaks there"
    )


def _model(file: str, record: _Record) -> ModelShape:
    said = record.model
    if said.variant not in HELIOS:
        raise BadRecord(
            f"{file}: model.variant: {said.variant!r} is none of {', '.join(HELIOS)}; measure one"
        )
    full = HELIOS[said.variant]
    shape = shape_of(
        said.variant,
        layers=said.blocks,
        heads=said.heads,
        head_dim=said.head_dim,
        ffn_dim=said.ffn_dim,
        stages=len(record.cases[0].stages),
    )
    if shape != full:
        raise BadRecord(
            f"{file}: model: {shape.layers} blocks of width {shape.dim} in {shape.stages} stages;"
            f" the released {said.variant} has {full.layers} of {full.dim} in {full.stages}, and"
            " a smaller one does not keep a card busy; measure --random-weights or the real model"
        )
    return full


def _measured(where: str, record: _Record, case: _Case, model: ModelShape) -> Measured:
    profile = _profile(where, record.model, case)
    work = Work(record.height, record.width, case.steps)
    try:
        wanted = [steps * model.passes_per_step for steps in steps_of(model, work)]
    except ValueError as error:
        raise BadRecord(f"{where}.steps: {error}; measure again with such steps") from None
    passes = [stage.passes_per_round for stage in case.stages]
    if passes != wanted:
        raise BadRecord(
            f"{where}.stages: {passes} passes for each chunk, and {model.variant} takes {wanted}"
            " with these steps; measure without guidance of your own"
        )
    decoder = case.vae.removesuffix("-tiled")  # the same work, but for the seams
    if decoder not in {*Vae}:
        raise BadRecord(f"{where}.vae: {case.vae!r} is none of {', '.join(Vae)}; measure one")
    decodes = {
        Vae(each.precision): each.seconds_per_chunk.median
        for each in record.decode
        if each.precision in {*Vae}
    }
    if Vae(decoder) not in decodes:
        raise BadRecord(f"{where}.vae: {case.vae}, of which `decode` has no time; measure again")
    seconds, vae = case.seconds_per_chunk.median, decodes[Vae(decoder)]
    if vae >= seconds:
        raise BadRecord(
            f"{where}.seconds_per_chunk: {seconds:.3g} s, less than the {vae:.3g} s of its decode"
            " alone; measure again, with nothing else on the card"
        )
    return Measured(
        model=model,
        run=Run(
            profile=profile,
            attention=Attention.SAGE if "sage" in record.model.attention else Attention.BF16,
            vae=Vae(decoder),
            streamed_bytes=record.model.bytes_streamed_per_pass,
            lanes=case.lanes,
            elementwise_bytes=COMPILED_BYTES if record.model.compiled else EAGER_BYTES,
        ),
        work=work,
        passes=tuple(stage.seconds_per_pass.median / case.lanes for stage in case.stages),
        decodes=decodes,
        seconds=seconds,
    )


def _profile(where: str, model: _Model, case: _Case) -> Profile:
    if model.profile not in {*Profile}:
        raise BadRecord(
            f"{where}: model.profile: {model.profile!r} is none of {', '.join(Profile)}, which the"
            " card model knows; leave the record out"
        )
    if case.arithmetic == "float32":
        raise BadRecord(
            f"{where}.arithmetic: float32, which no profile renders with on a card; measure in"
            " bfloat16"
        )
    return Profile(model.profile)


def _link_rate(record: _Record) -> float:
    copies = record.copy_
    return copies.bytes_per_second_to_device_pinned.median / 1e9 if copies else 0.0
