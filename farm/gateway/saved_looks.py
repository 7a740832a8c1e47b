"""Saved looks as people ask for them: listed, saved (from a clip, too), forgotten."""

from __future__ import annotations

from google.protobuf.message import Message

from farm.coordinator import asked
from farm.domain.errors import BadDecision, NotFound
from farm.domain.ledger import ClipRow
from farm.domain.saved_look import SavedLook
from farm.gateway.decisions import decide
from farm.gateway.desk import Desk
from farm.gateway.grpc_errors import BadRequest, Context, unary
from farm.gateway.times import timestamp
from farm.gateway.views import lora_views
from farm.gateway.why import id_of_subject
from farm.ports import Ledger
from heliostat.v1 import fleet_service_pb2 as fleet_pb
from heliostat.v1 import types_pb2 as types_pb
from heliostat.v1.fleet_service_pb2_grpc import FleetServiceServicer


class SavedLooks(FleetServiceServicer):
    """The calls about saved looks; `FleetService` adds the others."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    @unary
    async def ListSavedLooks(  # noqa: N802 - the contract's name
        self, _request: fleet_pb.ListSavedLooksRequest, _context: Context
    ) -> fleet_pb.ListSavedLooksResponse:
        """All of them, by name."""
        looks = await self._desk.threads.run(self._desk.ledger.saved_looks)
        return fleet_pb.ListSavedLooksResponse(looks=[_view(look) for look in looks])

    @unary
    async def SaveLook(  # noqa: N802
        self, request: fleet_pb.SaveLookRequest, _context: Context
    ) -> fleet_pb.SaveLookResponse:
        """Save one; what it leaves out is taken from a clip, where one is named."""
        ledger = self._desk.ledger

        def check() -> Message:
            look = types_pb.SavedLook()
            if request.from_clip:
                look.CopyFrom(_of_clip(_clip(ledger, request.from_clip)))
            look.MergeFrom(request.look)
            if request.look.steps:
                look.steps[:] = request.look.steps
            if request.look.loras or request.look.pins_loras:
                del look.loras[:]
                look.loras.extend(request.look.loras)
            asked.saved_look_of(look, {each.name for each in ledger.saved_looks()})
            return fleet_pb.SaveLookRequest(look=look)

        await decide(self._desk, request, request.request_id, "", check)
        looks = {look.name: look for look in await self._desk.threads.run(ledger.saved_looks)}
        if request.look.name not in looks:
            raise NotFound(f"the look {request.look.name} was forgotten meanwhile")
        return fleet_pb.SaveLookResponse(look=_view(looks[request.look.name]))

    @unary
    async def ForgetLook(  # noqa: N802
        self, request: fleet_pb.ForgetLookRequest, _context: Context
    ) -> fleet_pb.ForgetLookResponse:
        """Forget one that no project is locked to."""
        if not request.name:
            raise BadRequest("the request names no look: `farm look list` shows those there are")
        await decide(self._desk, request, request.request_id, "", lambda: request)
        return fleet_pb.ForgetLookResponse()


def _clip(ledger: Ledger, subject: str) -> ClipRow:
    """A clip by its id, or as BATCH/NAME. Raises `NotFound`."""
    clip_id = id_of_subject(ledger, subject)
    found = ledger.clip_rows([clip_id])
    if clip_id not in found:
        raise NotFound(f"there is no clip {subject}: name it by its id, or as BATCH/NAME")
    return found[clip_id]


def _of_clip(row: ClipRow) -> types_pb.SavedLook:
    """What a finished clip was made by. Raises `BadDecision` for one that has no take."""
    if row.take is None:
        raise BadDecision(
            f"clip {row.name} has no take yet, so nobody knows its look: name one that is done"
        )
    spec = row.spec
    return types_pb.SavedLook(
        model=row.take.model_digest,
        loras=lora_views(spec.loras),
        pins_loras=True,
        quality=spec.quality,
        steps=spec.steps,
        guidance_scale=spec.guidance_scale,
        negative_prompt=spec.negative_prompt,
        stack_id=row.take.stack_id,
    )


def _view(look: SavedLook) -> types_pb.SavedLook:
    return types_pb.SavedLook(
        name=look.name,
        model=look.model,
        loras=lora_views(look.loras or ()),
        pins_loras=look.loras is not None,
        quality=look.quality,
        steps=look.steps,
        guidance_scale=look.guidance_scale,
        prompt_prefix=look.prompt_prefix,
        negative_prompt=look.negative_prompt,
        stack_id=look.stack_id,
        note=look.note,
        saved_at=timestamp(look.saved_at),
    )
