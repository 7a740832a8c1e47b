"""Logs through the gateway: of cards by their exchanges, of the head from its files."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import grpc.aio
import pytest

from farm.gateway.settings import GatewaySettings, Limits
from heliostat.logs.reading import timestamp
from heliostat.v1 import fleet_service_pb2 as pb
from heliostat.v1 import node_service_pb2 as node_pb
from heliostat.v1.fleet_service_pb2_grpc import FleetServiceStub
from tests.fixtures.gateway import TOKEN, Rig
from tests.fixtures.simulated_card import SimulatedCard


def line(at: float, event: str, **fields: str) -> str:
    return json.dumps({"ts": timestamp(at), "level": "info", "event": event, **fields})


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """The head's logs are in tmp_path."""
    settings = GatewaySettings(api_token=TOKEN, logs=tmp_path, limits=Limits(fleet_seconds=0))
    async with Rig(tmp_path, settings=settings) as rig:
        yield rig


async def read(rig: Rig, target: str, **more: object) -> pb.ReadLogsResponse:
    return await rig.fleet.ReadLogs(pb.ReadLogsRequest(target=target, **more))


async def answer(card: SimulatedCard, lines: list[str]) -> node_pb.LogQuestion:
    """Exchange until the card is asked, and answer."""
    while not (questions := (await card.exchange()).logs):
        await asyncio.sleep(0.01)
    request = node_pb.ExchangeRequest.FromString(card.request())
    request.logs.add(number=questions[0].number, lines=lines, cut=True)
    await card.rig.gateway.exchange(request.SerializeToString())
    return questions[0]


async def test_a_card_is_asked_and_its_answer_comes_back(rig: Rig):
    card = SimulatedCard(rig)
    await card.exchange()
    since = pb.ReadLogsRequest().since
    since.FromSeconds(3)
    reading = asyncio.create_task(read(rig, "node-0", lines_max=2, since=since))
    question = await answer(card, [line(4, "a"), line(5, "b"), line(6, "c")])
    assert (question.clip_id, question.lines_max, question.since) == ("", 2, since)
    response = await reading
    assert [json.loads(each)["event"] for each in response.lines] == ["b", "c"]
    (source,) = response.sources
    assert (source.name, source.problem, source.lines, source.cut) == ("node-0", "", 3, True)


async def test_a_node_is_all_of_its_cards_merged_by_time(rig: Rig):
    first, second = SimulatedCard(rig), SimulatedCard(rig, "node-1")
    await first.exchange()
    await second.exchange()
    reading = asyncio.create_task(read(rig, "host"))
    await answer(first, [line(1, "a"), line(3, "c")])
    await answer(second, [line(2, "b")])
    assert [json.loads(each)["event"] for each in (await reading).lines] == ["a", "b", "c"]


async def test_a_clip_is_looked_for_on_every_card_that_had_it(rig: Rig, tmp_path: Path):
    await rig.submit("a fox")
    gone, here = SimulatedCard(rig), SimulatedCard(rig, "node-1")
    await gone.exchange()
    ((clip_id, _),) = gone.held
    rig.link.coordinator.lost("node-0", "first", "its agent died")
    rig.clock.seconds += 60
    while not here.held:
        await here.exchange()
    (tmp_path / "coordinator.jsonl").write_text(
        "".join(f"{line(n, 'lease', clip_id=each)}\n" for n, each in enumerate([clip_id, "other"]))
    )
    reading = asyncio.create_task(read(rig, "shots/clip1"))
    question = await answer(here, [line(9, "begins chunk 0", clip_id=clip_id)])
    assert question.clip_id == clip_id
    response = await reading
    assert [json.loads(each)["event"] for each in response.lines] == ["lease", "begins chunk 0"]
    sources = {source.name: source for source in response.sources}
    assert list(sources) == ["coordinator", "gateway", "node-0", "node-1"]
    assert "is offline" in sources["node-0"].problem
    assert any("lost on node-0" in each for each in sources["node-0"].known)
    assert sources["node-1"].problem == ""


async def test_a_card_that_does_not_answer_is_named(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("farm.gateway.logs.WAIT_SECONDS", 0.1)
    await SimulatedCard(rig).exchange()
    (source,) = (await read(rig, "node-0")).sources
    assert "did not answer" in source.problem


async def test_the_heads_own_logs_need_no_card(rig: Rig, tmp_path: Path):
    text = "".join(f"{line(n, str(n))}\n" for n in range(300))
    (tmp_path / "gateway.jsonl").write_text(text)
    response = await read(rig, "gateway")
    assert [json.loads(each)["event"] for each in response.lines] == [
        str(n) for n in range(100, 300)
    ]
    assert response.sources[0].cut
    assert not (await read(rig, "coordinator")).lines


@pytest.mark.parametrize(
    ("target", "code"),
    [("nix", "NOT_FOUND"), ("", "INVALID_ARGUMENT"), ("shots", "NOT_FOUND")],
)
async def test_what_is_not_there_is_said(rig: Rig, target: str, code: str):
    await rig.submit("a fox")
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await read(rig, target)
    assert raised.value.code().name == code


async def test_logs_need_the_token(rig: Rig):
    async with rig.channel_with(None) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await FleetServiceStub(channel).ReadLogs(pb.ReadLogsRequest(target="gateway"))
    assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED
