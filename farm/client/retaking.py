"""New versions of clips, as methods of a `Farm`."""

from __future__ import annotations

from collections.abc import Sequence

from farm.client.base import Calls, new_request_id
from heliostat.v1 import batch_service_pb2 as pb


class Retaking(Calls):
    """Retakes, extensions, branches: each makes the next version of a clip, the old one stays.

    Clips are named by name, which is their latest version, or by id. Each call that gives no
    `request_id` is one of its own.
    """

    def retake(
        self,
        batch_id: str,
        clips: Sequence[str],
        *,
        seed: int | None = None,
        new_seed: bool = False,
        prompt: str | None = None,
        note: str = "",
        request_id: str = "",
    ) -> pb.RetakeResponse:
        """Render clips again from their beginnings, with what is given in place of what was.

        `new_seed` gives each another seed, that follows from its name and version.
        """
        request = pb.RetakeRequest(
            request_id=request_id or new_request_id(),
            batch_id=batch_id,
            clips=clips,
            seed=seed,
            new_seed=new_seed,
            prompt=prompt,
            note=note,
        )
        return self._connection.call(self._batches.Retake, request)

    def extend(
        self,
        batch_id: str,
        clips: Sequence[str],
        *,
        frames: int,
        prompt: str | None = None,
        blend_chunks: int | None = None,
        note: str = "",
        request_id: str = "",
    ) -> pb.RetakeResponse:
        """Make clips longer, `frames` in all; their whole chunks are taken over.

        A prompt, where there is one, counts from there on.
        """
        request = pb.RetakeRequest(
            request_id=request_id or new_request_id(),
            batch_id=batch_id,
            clips=clips,
            frames=frames,
            prompt=prompt,
            blend_chunks=blend_chunks,
            note=note,
        )
        return self._connection.call(self._batches.Retake, request)

    def branch(
        self,
        batch_id: str,
        clips: Sequence[str],
        *,
        from_chunk: int,
        prompt: str | None = None,
        seed: int | None = None,
        new_seed: bool = False,
        blend_chunks: int | None = None,
        note: str = "",
        request_id: str = "",
    ) -> pb.RetakeResponse:
        """Go another way from a chunk (of 33 frames, the first is 0) on; those before it stay."""
        request = pb.RetakeRequest(
            request_id=request_id or new_request_id(),
            batch_id=batch_id,
            clips=clips,
            from_chunk=from_chunk,
            prompt=prompt,
            seed=seed,
            new_seed=new_seed,
            blend_chunks=blend_chunks,
            note=note,
        )
        return self._connection.call(self._batches.Retake, request)
