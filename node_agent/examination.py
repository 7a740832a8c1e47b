"""Examines a card that the farm holds for sick: what NVML says of it, and a golden chunk.

The golden chunk is rendered by the card's own render child, so that what is examined is what
renders. It must equal its reference; where there is none of this model and stack, it is rendered
twice and must equal itself, which finds memory that forgets and not what is wrong every time.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from heliostat.v1 import node_service_pb2 as node_pb
from node_agent.burnin.errors import GoldenError
from node_agent.burnin.golden import Origin, file_name, golden_spec, load, psnr_db
from node_agent.burnin.judge import Limits
from node_agent.doctor.card import CardFacts, check_card, check_driver, check_link, check_vram
from node_agent.doctor.finding import Finding, State, bad
from node_agent.doctor.gather import driver_and_cards
from node_agent.encode import encoder_id
from node_agent.engine import CannotRender, ChildDied, Engine, Inbox
from node_agent.render.messages import ChunkDone, Failed, Ready, Start, Started
from node_agent.render.renderer import Frames
from node_agent.telemetry import Nvml, SystemNvml, nvml_index

logger = logging.getLogger(__name__)

GPU_SIZE: Final = (640, 384)
"""Width and height of the golden chunk, as `farm-node burn-in` keeps it."""
CPU_SIZE: Final = (64, 64)
"""A CPU is to show that it renders at all."""
DRIVER_SECONDS_MAX: Final = 60.0
"""A driver that takes longer for an answer hangs."""
LOAD_SECONDS_MAX: Final = 1800.0
"""A model that is not loaded after so long will not be."""
FPS: Final = 24


class Sick(Exception):
    """The card does not pass; the message says why."""


class Examiner:
    """Examines one card; not for two examinations at once."""

    def __init__(
        self,
        engine: Engine,
        device: str,
        folder: Path,
        golden: Path | None = None,
        *,
        open_nvml: Callable[[], Nvml] = SystemNvml,
    ) -> None:
        """`folder` takes the golden chunk's files for a while, `golden` may have references."""
        self._engine = engine
        self._device = device
        self._folder = folder
        self._golden = golden
        self._open_nvml = open_nvml

    async def examine(self, number: int) -> node_pb.Examination:
        """The whole examination, under the farm's number."""
        try:
            detail, passed = await self._examine(), True
        except (Sick, CannotRender) as error:
            detail, passed = str(error), False
        except Exception as error:
            logger.exception("the examination broke")
            detail, passed = f"the examination broke: {type(error).__name__}: {error}", False
        finally:
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
        logger.info("examination %d: %s (%s)", number, "passed" if passed else "failed", detail)
        return node_pb.Examination(number=number, passed=passed, detail=detail)

    async def _examine(self) -> str:
        found: list[Finding] = []
        if self._device != "cpu":
            found = await self._card()
            if wrong := [each for each in found if each.state is State.BAD]:
                raise Sick("; ".join(f"{each.what}: {each.remedy}" for each in wrong))
        try:
            async with asyncio.timeout(LOAD_SECONDS_MAX):
                await self._engine.settled()
        except TimeoutError:
            raise Sick(f"the model was not loaded in {LOAD_SECONDS_MAX:.0f} s") from None
        about = self._engine.about
        assert about is not None, "a child that is ready says what it is"
        said = [each.what for each in found if each.name.startswith("card")]
        return "; ".join([*said, await self._golden_chunk(about)])

    async def _card(self) -> list[Finding]:
        try:
            async with asyncio.timeout(DRIVER_SECONDS_MAX):
                return await asyncio.to_thread(findings, self._device, self._open_nvml)
        except TimeoutError:
            raise Sick(f"the driver did not answer in {DRIVER_SECONDS_MAX:.0f} s") from None

    async def _golden_chunk(self, about: Ready) -> str:
        """Render, and compare; what was found. Raises `Sick`."""
        width, height = CPU_SIZE if self._device == "cpu" else GPU_SIZE
        origin = Origin(
            model_digest=about.model_digest,
            stack_id=about.stack_id.removesuffix(f",{encoder_id()}"),
            size=f"{width}x{height}",
        )
        frames, seconds = await self._render(1, width, height)
        took = f"golden chunk of {origin.size} in {seconds:.1f} s"
        try:
            path = self._golden / file_name(origin) if self._golden else None
            reference = await asyncio.to_thread(load, path, origin) if path else None
        except GoldenError as error:  # of another model or size, and so nothing to compare with
            logger.info("%s", error)
            reference = None
        if reference is None:
            again, _ = await self._render(2, width, height)
            if (found := psnr_db(frames, again)) is not None:
                raise Sick(f"{took} differs from itself rendered again: {found:.1f} dB")
            return f"{took} equals itself rendered again"
        found = psnr_db(frames, reference.frames)
        same_stack = reference.origin.stack_id == origin.stack_id
        if found is None:
            return f"{took} equals its reference"
        if same_stack or found < Limits().psnr_db_min:
            raise Sick(f"{took} differs from its reference: {found:.1f} dB")
        return f"{took} is close to the reference of another stack: {found:.1f} dB"

    async def _render(self, attempt: int, width: int, height: int) -> tuple[Frames, float]:
        """The golden chunk's frames, and the seconds that they took. Raises `Sick`."""
        inbox: Inbox = asyncio.Queue()
        spec = golden_spec(width, height)
        start = Start(
            spec=spec,
            attempt=attempt,
            fps=FPS,
            directory=str(self._folder / str(attempt)),
            lossless=True,
        )
        try:
            await self._engine.start(start, inbox)
            while True:
                match await inbox.get():
                    case Started():
                        continue
                    case ChunkDone(segment=film, render_seconds=seconds):
                        frames = await asyncio.to_thread(_frames, Path(film.path))
                        return frames, seconds
                    case ChildDied(exit=exit_, stalled=stalled):
                        why = "it hung" if stalled else str(exit_)
                        raise Sick(f"the golden chunk cannot be rendered: {why}")
                    case Failed(message=message):
                        raise Sick(f"the golden chunk cannot be rendered: {message}")
                    case other:
                        raise Sick(f"the golden chunk was not finished: {other.kind}")
        finally:
            await asyncio.shield(self._engine.drop((spec.clip_id, attempt)))


def findings(device: str, open_nvml: Callable[[], Nvml]) -> list[Finding]:
    """What the doctor finds of the driver and of the card that `device` is."""
    driver, cards = driver_and_cards(open_nvml)
    return [check_driver(driver, require_gpu=True), *_of_card(device, cards)]


def _of_card(device: str, cards: tuple[CardFacts, ...]) -> Iterator[Finding]:
    index = nvml_index(device, [card.identity for card in cards])
    card = next((card for card in cards if card.identity.index == index), None)
    if card is None:
        if not cards:
            yield bad("card", "the driver lists no card", "see `dmesg` for Xid errors, and reboot")
        return  # a slice of a card is none of NVML's; its golden chunk tells
    # its memory is in use by its own render child
    facts = replace(card, sample=replace(card.sample, vram_used_bytes=None))
    yield from (check(facts) for check in (check_card, check_vram, check_link))


def _frames(path: Path) -> Frames:
    from node_agent.film import read_lossless  # av's decoders: only where films are read

    return read_lossless(path)
