"""Files that clips start from, sent with a submission: a part of `Farm`, for asyncio.

Made of its twin in farm/client by tools/async_sdk.py: change that one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from farm.client.aio.base import AsyncCalls
from farm.client.input_calls import JOIN_SECONDS, InputPlan, _name
from farm.client.inputs import InputOptions, Sorted
from farm.client.sending import groups
from farm.client.submission import Source
from heliostat.v1 import batch_service_pb2 as pb


class AsyncInputCalls(AsyncCalls):
    """Sends files by their content."""

    async def prepare_inputs(
        self, files: Iterable[pb.InputFile] = (), *, project: str = "", only_look: bool = False
    ) -> pb.PrepareInputsResponse:
        """Which files the farm has, and where the others go; and what it takes at all.

        With `only_look` no upload is begun.
        """
        request = pb.PrepareInputsRequest(files=files, project=project, only_look=only_look)
        return await self._connection.call(self._batches.PrepareInputs, request, JOIN_SECONDS)

    async def plan_inputs(
        self,
        source: Source,
        column_map: Mapping[str, str],
        settings: Mapping[str, str],
        relative: set[str],
        project: str,
        options: InputOptions,
    ) -> InputPlan:
        """Look through a submission's images and videos; nothing is sent yet.

        `relative` are those that stood relative, filled while `source` is read.
        """
        return await self._connection.in_thread(
            lambda farm: farm.plan_inputs(source, column_map, settings, relative, project, options)
        )

    async def send_inputs(self, plan: InputPlan, project: str, options: InputOptions) -> None:
        """Have all files of a plan be there. Raises `SendFailed`; `Refused` for a changed one."""
        return await self._connection.in_thread(
            lambda farm: farm.send_inputs(plan, project, options)
        )

    async def _places(self, found: Sorted, project: str) -> dict[tuple[str, str], pb.InputPlace]:
        """Where each file belongs, by its name in the bucket."""
        files = list({_name(file): file for file in found.files.values()}.values())
        places: dict[tuple[str, str], pb.InputPlace] = {}
        for group in groups(files):
            answer = await self.prepare_inputs(
                (file.message for file in group), project=project, only_look=True
            )
            places.update(zip(map(_name, group), answer.places, strict=True))
        return places
