"""The same request, very often and at once, through several gateways: one batch (API-3)."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace

import grpc.aio

from farm.gateway.server import Gateway
from heliostat.v1 import batch_service_pb2 as batch_pb
from heliostat.v1.batch_service_pb2_grpc import BatchServiceStub
from tests.fixtures.gateway import TOKEN, Rig, submission

GATEWAYS, CALLS = 3, 1000
METADATA = (("authorization", f"Bearer {TOKEN}"),)


async def test_a_thousand_duplicates_through_three_gateways_are_one_batch(rig: Rig) -> None:
    sent = submission([{"id": f"s{n}", "prompt": "p"} for n in range(20)], request_id="the same")
    async with AsyncExitStack() as stack:
        stubs = []
        for _ in range(GATEWAYS):
            settings = replace(rig.settings, grpc_port=0, http_port=0)
            gateway = Gateway(settings, rig.ledger, rig.objects, rig.link)
            await gateway.start()
            stack.push_async_callback(gateway.stop, 0.2)
            channel = grpc.aio.insecure_channel(f"127.0.0.1:{gateway.grpc_port}")
            stubs.append(BatchServiceStub(await stack.enter_async_context(channel)))
        answers = await asyncio.gather(
            *(stubs[n % GATEWAYS].Submit(iter(sent), metadata=METADATA) for n in range(CALLS))
        )
    assert len({answer.batch.batch_id for answer in answers}) == 1
    assert sum(not answer.repeated_request for answer in answers) == 1
    assert {(answer.clips, answer.frames) for answer in answers} == {(20, 2400)}
    assert len((await rig.batches.List(batch_pb.ListRequest())).batches) == 1
    assert rig.staged() == 20
