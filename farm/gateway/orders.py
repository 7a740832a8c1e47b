"""What a card needs to go on: orders for new attempts, and grants to upload.

Both only for attempts that the coordinator wants this card to hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from farm.domain.inputs import object_key
from farm.domain.ledger import ChunkRow, ClipRow
from farm.domain.spec import ClipSpec
from farm.gateway.keys import FORMS, Place
from farm.gateway.views import artifact_view, mark_views, origin_view, spec_view
from farm.ports import Ledger, ObjectStore
from heliostat.v1 import node_service_pb2 as node_pb
from heliostat.v1 import types_pb2 as types_pb

AttemptId = tuple[str, int]
"""Clip id and attempt."""


def read_orders(
    ledger: Ledger, objects: ObjectStore, places: Mapping[str, Place], clip_ids: Sequence[str]
) -> dict[str, node_pb.ClipOrder]:
    """Orders by clip id, of the clips that there are. Blocks: call it in a thread."""
    rows = ledger.clip_rows(clip_ids)
    batches = {i: ledger.find_batch(i) for i in {row.clip.batch_id for row in rows.values()}}
    return {
        clip_id: _order(
            row,
            places[clip_id],
            [_recorded(chunk, objects) for chunk in ledger.chunks(clip_id)]
            if row.clip.chunks_done
            else [],
            _inputs(row.spec, objects),
            batches[row.clip.batch_id].needs.pinned,
        )
        for clip_id, row in rows.items()
        if clip_id in places
    }


def make_grants(
    objects: ObjectStore,
    places: Mapping[str, Place],
    intents: Iterable[node_pb.UploadIntent],
    wanted: Mapping[AttemptId, node_pb.Lease],
) -> list[node_pb.Grant]:
    """A presigned PUT for each intent of a wanted attempt. Blocks: call it in a thread.

    Intents that cannot be (no hash, no size) get none, as those of attempts not wanted.
    """
    grants: list[node_pb.Grant] = []
    for intent in intents:
        place = places.get(intent.clip_id)
        if place is None or (intent.clip_id, intent.attempt) not in wanted:
            continue
        artifact = types_pb.Artifact()
        artifact.CopyFrom(intent.artifact)
        try:
            artifact.key = place.key(intent.attempt, artifact)
        except ValueError:
            continue
        grant = objects.presign_put(
            artifact.key,
            artifact.size_bytes,
            artifact.sha256,
            FORMS[artifact.kind].content_type,
        )
        grants.append(
            node_pb.Grant(
                clip_id=intent.clip_id,
                attempt=intent.attempt,
                artifact=artifact,
                url=grant.url,
                headers=grant.headers,
            )
        )
    return grants


def _order(
    row: ClipRow,
    place: Place,
    recorded: Sequence[node_pb.RecordedChunk],
    inputs: Sequence[node_pb.InputUrl],
    profile: str,
) -> node_pb.ClipOrder:
    return node_pb.ClipOrder(
        spec=spec_view(row.spec),
        project=place.project,
        batch_id=place.batch_id,
        batch_name=place.batch_name,
        name=row.name,
        version=row.version,
        columns=row.columns,
        row=row.row,
        recorded=recorded,
        inputs=inputs,
        profile=profile,
        origin=origin_view(row.origin),
    )


def _inputs(spec: ClipSpec, objects: ObjectStore) -> list[node_pb.InputUrl]:
    """Presigned GETs of what the clip starts from, where that is an object of the farm's."""
    return [
        node_pb.InputUrl(name=name, url=objects.presign_get(key))
        for name, place in (("image", spec.image), ("video", spec.video))
        if (key := object_key(place))
    ]


def _recorded(chunk: ChunkRow, objects: ObjectStore) -> node_pb.RecordedChunk:
    return node_pb.RecordedChunk(
        chunk=chunk.chunk,
        frames=chunk.frames,
        render_seconds=chunk.render_seconds,
        card_id=chunk.card_id,
        attempt=chunk.attempt,
        artifacts=[
            node_pb.ArtifactUrl(
                artifact=artifact_view(stored, chunk.chunk), url=objects.presign_get(stored.key)
            )
            for stored in chunk.objects
        ],
        energy_joules=chunk.energy_joules,
        lanes=chunk.lanes,
        steered=mark_views(chunk.steered),
        profile=chunk.profile,
    )
