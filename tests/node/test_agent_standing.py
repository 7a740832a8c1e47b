"""A card that is to stand aside frees its GPU, and a card that is held for sick is examined."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from heliostat.v1 import node_service_pb2 as node_pb
from heliostat.v1 import types_pb2 as types_pb
from node_agent.agent import Agent
from node_agent.burnin.golden import CHUNK_FRAMES, Origin, Reference, file_name, golden_spec, save
from node_agent.card_settings import CardSettings
from node_agent.encode import encoder_id
from node_agent.engine import RESTING, Engine
from node_agent.examination import CPU_SIZE, findings
from node_agent.render.child import ChildOptions
from node_agent.render.profiles import stack_with
from node_agent.render.testcard import TestCardRenderer
from node_agent.standing import Rest
from node_agent.telemetry import SystemNvml
from tests.fixtures.acting_child import FORGETFUL, GONE_WHEN_TOLD, HANGING_UP, act
from tests.fixtures.simulated_nvml import SimulatedGpu, SimulatedLibrary

PATIENCE_SECONDS = 120
OPEN, PAUSED = types_pb.STANDING_OPEN, types_pb.STANDING_PAUSED
DRAINING, QUARANTINED = types_pb.STANDING_DRAINING, types_pb.STANDING_QUARANTINED


class Farm:
    """The farm's half of the exchange: no clips, and what a person has decided."""

    def __init__(self) -> None:
        self.standing: types_pb.Standing.ValueType = OPEN
        self.examine = 0
        self.outfit = node_pb.Outfit()
        self.wanted: list[node_pb.Lease] = []
        self.heard: list[node_pb.ExchangeRequest] = []

    async def exchange(self, request: bytes) -> bytes:
        self.heard.append(node_pb.ExchangeRequest.FromString(request))
        await asyncio.sleep(0.02)
        return node_pb.ExchangeResponse(
            standing=self.standing,
            examine=self.examine,
            outfit=self.outfit,
            wanted=self.wanted,
            next_exchange_seconds=1,
        ).SerializeToString()

    @property
    def card(self) -> node_pb.CardReport:
        return self.heard[-1].card if self.heard else node_pb.CardReport()

    async def until(self, what: str, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"{what}: never came true; {self.card}"
            await asyncio.sleep(0.02)

    async def examination(self, number: int) -> node_pb.Examination:
        """Ask for one, and wait for its result."""
        self.examine = number
        await self.until("the result", lambda: self.card.examination.number == number)
        return self.card.examination


class Stage:
    """An agent with a real render child, and its farm."""

    def __init__(self, folder: Path) -> None:
        self.farm = Farm()
        self.folder = folder
        self.agent: Agent
        self._work: asyncio.Task[None] | None = None

    async def start(self, **settings: object) -> None:
        """Start the agent, and wait until its card is ready or cannot be."""
        card = CardSettings(
            card_id="node-0",
            node_id="node",
            hostname="host",
            slot=0,
            device="cpu",
            spool=self.folder / "spool",
            **{"child": ChildOptions(renderer="testcard"), **settings},  # type: ignore[arg-type]
        )
        self.agent = Agent(card, self.farm)
        self._work = asyncio.create_task(self.agent.run())
        await self.farm.until("a child", lambda: self.condition not in ("", "loading"))

    @property
    def condition(self) -> str:
        return self.farm.card.condition

    @property
    def pid(self) -> int | None:
        return self.agent._engine.pid

    async def close(self) -> None:
        if self._work is not None:
            self._work.cancel()
            with suppress(asyncio.CancelledError):
                await self._work


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    stage = Stage(tmp_path)
    yield stage
    await stage.close()


def is_alive(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


@pytest.mark.parametrize("standing", [PAUSED, DRAINING])
async def test_who_stands_aside_frees_the_gpu_and_takes_it_again(
    stage: Stage, standing: types_pb.Standing.ValueType
) -> None:
    await stage.start()
    before = stage.pid
    assert before is not None
    stage.farm.standing = standing
    await stage.farm.until("the end of the child", lambda: not is_alive(before))
    await stage.farm.until("the word of it", lambda: stage.condition == RESTING)
    heard = len(stage.farm.heard)
    await stage.farm.until("exchanges go on", lambda: len(stage.farm.heard) >= heard + 2)
    assert stage.pid is None
    stage.farm.standing = OPEN
    await stage.farm.until("another child", lambda: stage.condition == "ready")
    assert stage.farm.heard[-1].capacity > 0
    assert stage.farm.heard[-1].telemetry.child_restarts == 0, "nothing broke"


async def test_a_card_that_is_sick_or_locked_keeps_its_child(stage: Stage) -> None:
    await stage.start()
    before = stage.pid
    for standing in (types_pb.STANDING_LOCKED, QUARANTINED):
        stage.farm.standing = standing
        heard = len(stage.farm.heard)
        await stage.farm.until("exchanges", lambda heard=heard: len(stage.farm.heard) > heard + 2)
        assert stage.pid == before
        assert stage.farm.heard[-1].capacity > 0, "what it may have is the farm's to decide"


class TestRest:
    """The times of `Rest`, by a clock that stands still."""

    @pytest.fixture
    async def engine(self) -> Engine:
        return Engine(ChildOptions(renderer="testcard"), lambda: None)

    async def test_a_pause_waits_a_drain_does_not(self, engine: Engine) -> None:
        now = 0.0
        rest = Rest(engine, 30.0, lambda: now)
        assert rest.heed(PAUSED, idle=False) == float("inf")
        now = 100.0
        assert rest.heed(PAUSED, idle=True) == 30.0, "counted from when it was idle"
        now = 129.0
        assert rest.heed(PAUSED, idle=True) == 1.0
        assert engine.condition == "loading"
        now = 130.0
        rest.heed(PAUSED, idle=True)
        assert engine.condition == RESTING
        rest.heed(OPEN, idle=True)
        assert engine.condition == "loading"
        rest.heed(DRAINING, idle=True)
        assert engine.condition == RESTING

    async def test_a_clip_that_comes_all_the_same_is_rendered(self, engine: Engine) -> None:
        rest = Rest(engine, 0.0)
        rest.heed(PAUSED, idle=True)
        rest.heed(PAUSED, idle=False)
        assert engine.condition == "loading"


class TestExamination:
    async def test_a_sound_card_passes_and_says_so_until_it_is_asked_again(
        self, stage: Stage
    ) -> None:
        await stage.start()
        stage.farm.standing = QUARANTINED
        first = await stage.farm.examination(7)
        assert first.passed, first.detail
        assert "equals itself rendered again" in first.detail
        rendered = len(stage.farm.heard)
        await stage.farm.until("more exchanges", lambda: len(stage.farm.heard) > rendered + 2)
        assert stage.farm.card.examination == first, "asked for once, done once"
        assert not stage.farm.heard[-1].held
        assert (await stage.farm.examination(8)).passed
        assert not (stage.folder / "spool" / "examination").exists()

    async def test_a_card_that_forgets_a_bit_fails(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        act(monkeypatch, FORGETFUL)
        await stage.start()
        found = await stage.farm.examination(1)
        assert not found.passed
        assert "differs from itself rendered again" in found.detail

    async def test_a_renderer_that_breaks_fails_with_its_reason(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        act(monkeypatch, HANGING_UP)
        await stage.start()
        found = await stage.farm.examination(1)
        assert not found.passed
        assert "an illegal memory access" in found.detail

    async def test_a_renderer_that_does_not_come_up_fails_with_its_reason(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        act(monkeypatch, GONE_WHEN_TOLD.format(flag=str(stage.folder)))
        await stage.start()
        found = await stage.farm.examination(1)
        assert not found.passed
        assert "CUDA error: no device" in found.detail

    @pytest.mark.parametrize(("wrong", "passed"), [(False, True), (True, False)])
    async def test_a_reference_of_this_stack_must_be_met_to_the_bit(
        self, stage: Stage, wrong: bool, passed: bool
    ) -> None:
        renderer = TestCardRenderer()
        (made,) = renderer.step([renderer.start(golden_spec(*CPU_SIZE))], lambda _clip: False)
        assert made is not None
        chunk = made.wait()
        frames = chunk.frames.copy()
        frames[CHUNK_FRAMES - 1, 0, 0, 0] ^= wrong
        stack = stack_with(renderer.stack_id, "exact")
        origin = Origin(model_digest="", stack_id=stack, size="64x64")
        save(stage.folder / "golden" / file_name(origin), Reference(frames, origin))
        await stage.start(golden=stage.folder / "golden")
        assert stage.farm.card.stack_id == f"{stack},{encoder_id()}"
        found = await stage.farm.examination(1)
        assert found.passed is passed, found.detail
        assert "its reference" in found.detail

    @pytest.mark.parametrize(
        ("gpus", "wrong"),
        [
            ([SimulatedGpu(vram_used_bytes=15 << 30)], []),
            ([SimulatedGpu(pcie=(1, 1), pcie_max=(2, 1))], ["PCIe 0"]),
            ([SimulatedGpu(capability=(7, 5))], ["card 0"]),
            ([SimulatedGpu(lost=True)], ["card"]),
        ],
    )
    def test_what_the_driver_says_counts(
        self, gpus: list[SimulatedGpu], wrong: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The card's memory is full of its own model: that is no fault."""
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        found = findings("cuda:0", lambda: SystemNvml(SimulatedLibrary(*gpus)))
        assert [each.name for each in found if each.state == "bad"] == wrong
