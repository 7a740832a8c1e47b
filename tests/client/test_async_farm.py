"""The SDK for asyncio against a real gateway: the same calls, the same types, the same errors."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from farm.client import AccessDenied, AsyncFarm, Farm, FarmUnreachable, Planned, Refused
from farm.client.aio import farm as twin
from farm.domain.errors import NotFound, RequestConflict
from tests.fixtures.gateway import TOKEN, Rig
from tools import async_sdk

ROWS = [{"id": f"shot_{n}", "prompt": f"shot {n}", "frames": "66"} for n in range(30)]


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with Rig(tmp_path) as rig:
        yield rig


@pytest.fixture
async def farm(rig: Rig) -> AsyncIterator[AsyncFarm]:
    async with AsyncFarm(f"127.0.0.1:{rig.gateway.grpc_port}", TOKEN) as farm:
        yield farm


def test_the_twins_are_what_their_sources_make_them() -> None:
    folder = Path(twin.__file__).parent
    made = async_sdk.generated()
    assert {"farm.py", "deciding.py", "fleet_calls.py"} <= made.keys()
    for name, source in made.items():
        assert (folder / name).read_text(encoding="utf-8") == source, "run `make proto`"


def test_every_method_of_one_is_one_of_the_other() -> None:
    def of(kind: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(method).parameters)
            for name, method in inspect.getmembers(kind, inspect.isfunction)
            if not name.startswith("_")
        }

    assert of(AsyncFarm) == of(Farm)


async def test_submit_list_and_get(farm: AsyncFarm) -> None:
    done = await farm.submit(ROWS, name="shots")
    assert done.batch is not None
    assert (done.clips, done.frames) == (30, 1980)
    assert await farm.get("shots") == done.batch
    assert [batch async for batch in farm.list()] == [done.batch]
    assert [clip.name async for clip in farm.clips("shots")] == [row["id"] for row in ROWS]


async def test_a_file(farm: AsyncFarm, tmp_path: Path) -> None:
    file = tmp_path / "some.csv"
    file.write_text("prompt\n" + "a fox\n" * 1200)
    assert (await farm.submit(file)).clips == 1200
    file.write_text("prompt,frames\na fox,0\n")
    with pytest.raises(Refused) as caught:
        await farm.submit(file)
    assert [problem.row for problem in caught.value.problems] == [2]


async def test_what_people_decide_and_what_operators_ask(farm: AsyncFarm) -> None:
    await farm.submit(ROWS, name="shots")
    assert (await farm.pause("shots")).state != (await farm.resume("shots")).state
    assert (await farm.cancel("shots", ["shot_1"])).cancelled == 1
    assert (await farm.fleet()).cards == 0
    assert (await farm.set_project("dune")).name == "dune"


async def test_errors_are_those_of_the_sdk(farm: AsyncFarm, rig: Rig) -> None:
    with pytest.raises(NotFound):
        await farm.get("nothing")
    with pytest.raises(NotFound):
        await anext(farm.watch("nothing"))
    await farm.submit(ROWS, name="shots", request_id="r")
    with pytest.raises(RequestConflict):
        await farm.submit(ROWS[:2], name="shots", request_id="r")
    async with AsyncFarm(farm.endpoint, "wrong") as stranger:
        with pytest.raises(AccessDenied):
            await stranger.fleet()
    await rig.gateway.stop(0.0)
    with pytest.raises(FarmUnreachable):
        [event async for event in farm.watch("shots", patience_seconds=0.0)]


async def test_a_watch_goes_on_where_it_was_when_the_gateway_is_another(
    farm: AsyncFarm, rig: Rig
) -> None:
    await farm.submit(ROWS, name="shots")
    interruptions: list[str] = []
    seen = []
    async for event in farm.watch("shots", on_interrupted=interruptions.append):
        seen.append(event.sequence)
        if len(seen) == 31:
            await rig.restart_gateway()
            await farm.cancel("shots")
    assert interruptions
    everything = rig.ledger.events(after=0, limit=1000, batch_id=(await farm.get("shots")).batch_id)
    assert seen == [row.sequence for row in everything]


async def test_what_works_with_files_runs_in_a_thread(farm: AsyncFarm, tmp_path: Path) -> None:
    await farm.submit(ROWS, name="shots", planned=Planned(first_look=True))
    fetched, others = await asyncio.gather(farm.fetch("shots", tmp_path / "takes"), farm.fleet())
    assert (fetched.clips, others.cards) == (0, 0)
    assert [each async for each in farm.open_looks("shots", tmp_path / "looks")] == []
