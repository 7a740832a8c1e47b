"""The ledger's records as clients and nodes see them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from google.protobuf.json_format import MessageToDict

from farm.domain.batch import Batch, BatchProgress, BatchState, Budget
from farm.domain.clip import ClipState
from farm.domain.fleet import Needs, Standing
from farm.domain.ledger import (
    ChunkRow,
    ClipRow,
    EventRow,
    FleetEventRow,
    Steer,
    StoredObject,
    TakeRow,
)
from farm.domain.project import Look
from farm.domain.review import Review, ReviewCounts, Verdict
from farm.domain.spec import ClipSpec, Fork, LoraUse, Origin, Problem, PromptMark
from farm.gateway.quote_views import quote_view, spent_view
from farm.gateway.times import timestamp
from farm.plan.economics import Baseline
from farm.ports import Ledger
from heliostat.v1 import batch_service_pb2 as batch_pb
from heliostat.v1 import fleet_service_pb2 as fleet_pb
from heliostat.v1 import types_pb2 as types_pb

KINDS: Final = MappingProxyType(
    {
        "segment": types_pb.ARTIFACT_KIND_SEGMENT,
        "init": types_pb.ARTIFACT_KIND_INIT,
        "negative": types_pb.ARTIFACT_KIND_NEGATIVE,
        "take": types_pb.ARTIFACT_KIND_TAKE,
        "sidecar": types_pb.ARTIFACT_KIND_SIDECAR,
        "embeddings": types_pb.ARTIFACT_KIND_EMBEDDINGS,
    }
)
"""The ledger's word for a kind of object → the contract's."""

CLIP_STATES: Final = MappingProxyType(
    {state: types_pb.ClipState.Value(f"CLIP_STATE_{state.name}") for state in ClipState}
)
STATES_BY_NUMBER: Final = MappingProxyType({int(v): state for state, v in CLIP_STATES.items()})
_BATCH_STATES: Final = MappingProxyType(
    {state: types_pb.BatchState.Value(f"BATCH_STATE_{state.name}") for state in BatchState}
)


STANDINGS: Final = MappingProxyType(
    {each: types_pb.Standing.Value(f"STANDING_{each.name}") for each in Standing}
)


VERDICTS: Final = MappingProxyType(
    {each: types_pb.Review.Verdict.Value(f"VERDICT_{each.name}") for each in Verdict}
)


def batch_views(ledger: Ledger, batches: Sequence[Batch]) -> list[types_pb.Batch]:
    """Batches as they are now, with their progress and what was said of their takes."""
    ids = [batch.batch_id for batch in batches]
    progress, reviews = ledger.progress(ids), ledger.review_counts(ids)
    return [
        _batch_view(batch, progress.get(batch.batch_id), reviews.get(batch.batch_id))
        for batch in batches
    ]


def _batch_view(
    batch: Batch, progress: BatchProgress | None, reviews: ReviewCounts | None
) -> types_pb.Batch:
    """A batch; without a progress it has no clips."""
    reviews = reviews or ReviewCounts()
    progress = progress or BatchProgress({})
    ended_at = None if progress.open_clips else batch.ended_at
    return types_pb.Batch(
        batch_id=batch.batch_id,
        name=batch.name,
        project=batch.project,
        state=_BATCH_STATES[batch.state],
        reason=batch.reason,
        priority=batch.priority,
        created_at=timestamp(batch.created_at),
        clips=counts_view(progress.clips),
        chunks=progress.chunks,
        chunks_done=progress.chunks_done,
        frames=progress.frames,
        frames_delivered=progress.frames_delivered,
        deadline=None if batch.deadline is None else timestamp(batch.deadline),
        needs=_needs_view(batch.needs),
        limits=batch.limits,
        after=batch.after,
        first_look=batch.first_look,
        every=batch.order.every,
        failures_max=batch.failures_max,
        output=batch.output,
        webhook=batch.webhook,
        budget=_budget_view(batch.budget),
        spent=spent_view(batch.spent),
        promise=quote_view(batch.promise),
        ended_at=None if ended_at is None else timestamp(ended_at),
        look=batch.look,
        deliver_to=batch.deliver_to,
        reviews=types_pb.ReviewCounts(
            awaiting=reviews.awaiting, approved=reviews.approved, rejected=reviews.rejected
        ),
    )


def batch_json(view: types_pb.Batch) -> dict[str, Any]:
    """A batch as protobuf's JSON, for whoever is told of it; where notices go stays unsaid."""
    shown = types_pb.Batch()
    shown.CopyFrom(view)
    shown.ClearField("webhook")
    return MessageToDict(shown, always_print_fields_with_no_presence=True)


def counts_view(counts: Mapping[ClipState, int]) -> types_pb.ClipCounts:
    """Clips by state."""
    view = types_pb.ClipCounts()
    for state, count in counts.items():
        setattr(view, state.value, count)
    return view


def clip_view(
    row: ClipRow,
    look: Look | None = None,
    review: Review | None = None,
    presign: Callable[[str], str] | None = None,
    steers: Iterable[Steer] = (),
) -> types_pb.Clip:
    """A clip, with what was said of it; with `presign` (key → URL) its take comes with URLs."""
    clip = row.clip
    view = types_pb.Clip(
        clip_id=clip.clip_id,
        batch_id=clip.batch_id,
        name=row.name,
        version=row.version,
        state=CLIP_STATES[clip.state],
        attempt=clip.attempt,
        chunks_done=clip.chunks_done,
        chunks=clip.chunks,
        reason=clip.reason,
        card_id=clip.holder.card_id if clip.holder else "",
        spec=spec_view(row.spec),
        columns=row.columns,
        row=row.row,
        file_name=row.file_name,
        latest=row.latest,
        origin=origin_view(row.origin),
        steers=mark_views(steer.mark for steer in steers),
    )
    if row.take is not None:
        view.take.CopyFrom(_take_view(row.take, row.finished_at, presign))
        view.card_id = row.take.card_id
    if review is not None:
        view.review.CopyFrom(
            types_pb.Review(
                verdict=VERDICTS[review.verdict],
                note=review.note,
                reviewer=review.reviewer,
                at=timestamp(review.at),
            )
        )
    if look is not None:
        view.look.CopyFrom(types_pb.Look(score=look.score, note=look.note))
    return view


def clip_views(
    ledger: Ledger, rows: Sequence[ClipRow], presign: Callable[[str], str] | None = None
) -> list[types_pb.Clip]:
    """Clips with all that was said of them."""
    ids = [row.clip.clip_id for row in rows]
    looks = ledger.clip_looks(ids)
    reviews = ledger.reviews([i for i, row in zip(ids, rows, strict=True) if row.take])
    steers = ledger.clip_steers(ids)
    return [
        clip_view(row, looks.get(clip_id), reviews.get(clip_id), presign, steers.get(clip_id, ()))
        for clip_id, row in zip(ids, rows, strict=True)
    ]


def add_preview(
    view: types_pb.Clip, chunks: Sequence[ChunkRow], presign: Callable[[str], str]
) -> None:
    """Add what a held clip is looked at by: its first chunk, of the attempt that recorded it."""
    stored = {each.kind: each for each in chunks[0].objects} if chunks else {}
    if "init" not in stored or "segment" not in stored:
        return
    view.preview.CopyFrom(
        types_pb.Preview(
            init=artifact_view(stored["init"]),
            segment=artifact_view(stored["segment"]),
            init_url=presign(stored["init"].key),
            segment_url=presign(stored["segment"].key),
        )
    )


def spec_view(spec: ClipSpec) -> types_pb.ClipSpec:
    """What decides a clip's pixels."""
    return types_pb.ClipSpec(
        prompt=spec.prompt,
        negative_prompt=spec.negative_prompt,
        frames=spec.frames,
        height=spec.height,
        width=spec.width,
        fps=spec.fps,
        seed=spec.seed,
        steps=spec.steps,
        guidance_scale=spec.guidance_scale,
        quality=spec.quality,
        mode=spec.mode,
        image=spec.image,
        video=spec.video,
        schedule=mark_views(spec.schedule),
        loras=lora_views(spec.loras),
        skip_first_chunk=spec.skip_first_chunk,
        amplify_first_chunk=spec.amplify_first_chunk,
        image_noise=_range_view(spec.image_noise),
        video_noise=_range_view(spec.video_noise),
        fork=_fork_view(spec.fork),
    )


def lora_views(loras: Iterable[LoraUse]) -> list[types_pb.Lora]:
    """LoRAs and how strongly they count."""
    return [types_pb.Lora(name=lora.name, scale=lora.scale) for lora in loras]


def origin_view(origin: Origin | None) -> types_pb.Origin | None:
    """What a clip was made from."""
    if origin is None:
        return None
    return types_pb.Origin(kind=origin.kind, clip_id=origin.clip_id, chunks=origin.chunks)


def mark_views(marks: Iterable[PromptMark]) -> list[types_pb.PromptMark]:
    """Prompts and the chunks that they begin with."""
    return [
        types_pb.PromptMark(chunk=mark.chunk, prompt=mark.prompt, blend_chunks=mark.blend_chunks)
        for mark in marks
    ]


def artifact_view(stored: StoredObject, chunk: int = 0) -> types_pb.Artifact:
    """An object in the store, with its key."""
    return types_pb.Artifact(
        kind=KINDS[stored.kind],
        chunk=chunk,
        sha256=stored.sha256,
        size_bytes=stored.size_bytes,
        key=stored.key,
    )


def event_view(event: EventRow) -> batch_pb.WatchResponse:
    """An event, without its batch."""
    view = batch_pb.WatchResponse(
        sequence=event.sequence,
        at=timestamp(event.at),
        clip_id=event.clip_id,
        clip_name=event.clip_name,
        kind=event.kind,
        attempt=event.attempt,
        card_id=event.card_id,
        detail=event.detail,
    )
    if event.clip_id:
        # An event of the batch has states of a batch, which these fields do not hold.
        view.from_state = _state_number(event.from_state)
        view.to_state = _state_number(event.to_state)
    return view


def fleet_event_view(row: FleetEventRow) -> fleet_pb.FleetEvent:
    """What was decided of the fleet, and when."""
    return fleet_pb.FleetEvent(
        sequence=row.sequence,
        at=timestamp(row.at),
        target=row.event.target,
        kind=row.event.kind,
        detail=row.event.detail,
    )


def problem_views(problems: Sequence[Problem], bytes_max: int) -> list[batch_pb.Problem]:
    """Problems in the order of the file, cut where they no longer fit into one answer."""
    views: list[batch_pb.Problem] = []
    room = bytes_max
    in_order = sorted(problems, key=lambda problem: problem.row)
    for index, problem in enumerate(in_order):
        view = batch_pb.Problem(
            row=problem.row, column=problem.column, what=problem.what, remedy=problem.remedy
        )
        room -= view.ByteSize() + 8
        if room < 0:
            more = f"{len(problems) - index} more problems are not listed"
            views.append(batch_pb.Problem(what=more, remedy="mend those above first"))
            break
        views.append(view)
    return views


def baseline_view(baseline: Baseline) -> fleet_pb.Baseline:
    """What the fleet is compared with."""
    return fleet_pb.Baseline(
        name=baseline.name,
        frames_per_second=baseline.frames_per_second,
        steps=baseline.work.steps,
        height=baseline.work.height,
        width=baseline.work.width,
        basis=baseline.basis.value,
        source=baseline.source,
    )


def _needs_view(needs: Needs) -> types_pb.Needs | None:
    if needs == Needs():
        return None
    return types_pb.Needs(
        card_types=needs.card_types,
        vram_bytes=needs.vram_bytes,
        tags=needs.tags,
        profile=needs.profile,
        model=needs.model,
        stack_id=needs.stack_id,
    )


def _budget_view(budget: Budget) -> types_pb.Budget | None:
    if budget == Budget():
        return None
    return types_pb.Budget(
        money=budget.money, hours=budget.hours, kilowatt_hours=budget.kilowatt_hours
    )


def _fork_view(fork: Fork | None) -> types_pb.Fork | None:
    return types_pb.Fork(chunk=fork.chunk, seed=fork.seed) if fork else None


def _range_view(sigmas: tuple[float, float] | None) -> types_pb.SigmaRange | None:
    return types_pb.SigmaRange(min=sigmas[0], max=sigmas[1]) if sigmas else None


def _take_view(
    take: TakeRow, finished_at: float | None, presign: Callable[[str], str] | None
) -> types_pb.Take:
    return types_pb.Take(
        video=artifact_view(take.video),
        sidecar=artifact_view(take.sidecar),
        frames=take.frames,
        video_url=presign(take.video.key) if presign else "",
        sidecar_url=presign(take.sidecar.key) if presign else "",
        finished_at=None if finished_at is None else timestamp(finished_at),
    )


def _state_number(state: str) -> types_pb.ClipState.ValueType:
    try:
        return CLIP_STATES[ClipState(state)]
    except ValueError:
        return types_pb.CLIP_STATE_UNSPECIFIED
