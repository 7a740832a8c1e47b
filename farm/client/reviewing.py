"""Reviews of takes, as methods of a `Farm`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from farm.client.base import Calls, new_request_id
from farm.client.clip_filter import ALL_CLIPS, AWAITING, ClipFilter
from farm.client.errors import BadRequest
from farm.domain.errors import NotFound
from heliostat.v1 import batch_service_pb2 as pb
from heliostat.v1 import types_pb2 as types

APPROVED = types.Review.VERDICT_APPROVED
REJECTED = types.Review.VERDICT_REJECTED


@dataclass(frozen=True, slots=True)
class Judged:
    """What an approval or a rejection was about."""

    looks: int
    """Held clips that were let go on, or called off."""
    takes: int
    """Takes that were reviewed."""
    batch: types.Batch


class Reviewing(Calls):
    """Approvals and rejections of takes, and of what waits for a first look beside them."""

    def review(
        self,
        batch_id: str,
        clips: Sequence[str],
        *,
        approve: bool,
        reviewer: str,
        note: str = "",
        request_id: str = "",
    ) -> pb.ReviewResponse:
        """Approve or reject takes of clips by their names (latest versions) or ids."""
        request = pb.ReviewRequest(
            request_id=request_id or new_request_id(),
            batch_id=batch_id,
            clips=clips,
            verdict=APPROVED if approve else REJECTED,
            note=note,
            reviewer=reviewer,
        )
        return self._connection.call(self._batches.Review, request)

    def awaiting_review(
        self, batch_id: str, where: Mapping[str, Sequence[str]] | None = None
    ) -> Iterator[types.Clip]:
        """Finished clips, of each name the latest version, whose takes nobody has reviewed.

        `where`: only those whose columns have one of these values (`ClipFilter.where`).
        """
        return self._listed(batch_id, replace(AWAITING, where=where or {}))

    def judge(
        self, batch_id: str, clips: Sequence[str], *, approve: bool, reviewer: str, note: str = ""
    ) -> Judged:
        """Approve or reject clips by their states: held ones at their first look, takes by review.

        Of a name the latest version counts. Raises `NotFound`, and `BadRequest` for clips that are
        neither held nor done; then nothing has changed.
        """
        held, done = _by_state(batch_id, self._named(batch_id, clips))
        looks = takes = 0
        batch: types.Batch | None = None
        if held:
            request = pb.LookRequest(
                request_id=new_request_id(),
                batch_id=batch_id,
                clips=held,
                approve=approve,
                note=note,
            )
            looked = self._connection.call(self._batches.Look, request)
            looks, batch = looked.clips, looked.batch
        if done or batch is None:
            answer = self.review(batch_id, done, approve=approve, reviewer=reviewer, note=note)
            takes, batch = answer.clips, answer.batch
        return Judged(looks, takes, batch)

    def _named(self, batch_id: str, names: Sequence[str]) -> list[types.Clip]:
        """The clips of ids and of names, of these the latest versions, each once."""
        clips = [
            clip
            for block in ALL_CLIPS.blocks(list(dict.fromkeys(names)))
            for clip in self._listed(batch_id, block)
        ]
        by_name = {clip.name: clip for clip in sorted(clips, key=lambda each: each.version)}
        by_id = {clip.clip_id: clip for clip in clips}
        found = {name: by_id.get(name) or by_name.get(name) for name in names}
        if unknown := [name for name, clip in found.items() if clip is None]:
            raise NotFound(
                f"batch {batch_id} has no clip {', '.join(unknown[:10])}: "
                f"see `farm clips {batch_id}`"
            )
        return list({clip.clip_id: clip for clip in found.values() if clip}.values())

    def _listed(self, batch_id: str, only: ClipFilter) -> Iterator[types.Clip]:
        request = pb.ListClipsRequest(batch_id=batch_id, page_size=1000)
        only.put_into(request)
        while True:
            answer = self._connection.call(self._batches.ListClips, request)
            yield from answer.clips
            if not answer.next_page_token:
                return
            request.page_token = answer.next_page_token


def _by_state(batch_id: str, clips: Iterable[types.Clip]) -> tuple[list[str], list[str]]:
    """Ids of held and of finished clips. Raises `BadRequest` for others."""
    held, done, neither = [], [], []
    for clip in clips:
        if clip.state == types.CLIP_STATE_HELD:
            held.append(clip.clip_id)
        elif clip.state == types.CLIP_STATE_DONE:
            done.append(clip.clip_id)
        else:
            neither.append(clip.name)
    if neither:
        raise BadRequest(
            f"{len(neither)} of the clips are neither held at a first look nor done "
            f"({', '.join(neither[:10])}): see `farm clips {batch_id}`"
        )
    return held, done
