"""Examines a card that is held for sick, or that was changed: what NVML says, and a golden chunk.

The golden chunk is rendered by the card's own render child, so that what is examined is what
renders. It must equal its references: the one that the card rendered before a change, and that of
its burn-in. One of another stack it must come close to. Where there is none of this model and
stack, it is rendered twice and must equal itself, which finds memory that forgets and not what is
wrong every time.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from heliostat.v1 import node_service_pb2 as node_pb
from node_agent.burnin.errors import GoldenError
from node_agent.burnin.golden import Origin, Reference, file_name, golden_spec, load, psnr_db
from node_agent.burnin.judge import Limits
from node_agent.burnin.kept import Kept
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """How the golden chunk compares with its first reference."""

    equal: bool = False
    psnr_db: float | None = None
    """None where every byte is equal, or there was no reference."""


class Sick(Exception):
    """The card does not pass; the message says why."""

    def __init__(self, why: str, likeness: Likeness | None = None) -> None:
        super().__init__(why)
        self.likeness = likeness or Likeness()


class Examiner:
    """Examines one card; not for two examinations at once."""

    def __init__(
        self,
        engine: Engine,
        device: str,
        folder: Path,
        golden: Path | None = None,
        *,
        kept: Kept | None = None,
        open_nvml: Callable[[], Nvml] = SystemNvml,
    ) -> None:
        """`folder` takes the golden chunk's files for a while, `golden` may have references.

        `kept` has what the card rendered before it was changed.
        """
        self._engine = engine
        self._device = device
        self._folder = folder
        self._golden = golden
        self._kept = kept or Kept(None)
        self._open_nvml = open_nvml

    async def examine(self, number: int) -> node_pb.Examination:
        """The whole examination, under the farm's number."""
        passed, likeness = False, Likeness()
        try:
            (detail, likeness), passed = await self._examine(), True
        except Sick as error:
            detail, likeness = str(error), error.likeness
        except CannotRender as error:
            detail = str(error)
        except Exception as error:
            logger.exception("the examination broke")
            detail = f"the examination broke: {type(error).__name__}: {error}"
        finally:
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
        logger.info("examination %d: %s (%s)", number, "passed" if passed else "failed", detail)
        return node_pb.Examination(
            number=number,
            passed=passed,
            detail=detail,
            stack_id=self._engine.about.stack_id if self._engine.about else "",
            psnr_db=likeness.psnr_db,
            equal=likeness.equal,
        )

    async def reference(self) -> Reference:
        """The golden chunk as it is rendered now. Raises `Sick`, `CannotRender`."""
        try:
            origin = self._origin(await self._about())
            frames, _ = await self._render(1, origin)
            return Reference(frames, origin)
        finally:
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    @property
    def origin(self) -> Origin | None:
        """What a golden chunk would be made of; None before the model is loaded."""
        return self._origin(self._engine.about) if self._engine.about else None

    async def _examine(self) -> tuple[str, Likeness]:
        found: list[Finding] = []
        if self._device != "cpu":
            found = await self._card()
            if wrong := [each for each in found if each.state is State.BAD]:
                raise Sick("; ".join(f"{each.what}: {each.remedy}" for each in wrong))
        origin = self._origin(await self._about())
        said = [each.what for each in found if each.name.startswith("card")]
        what, likeness = await self._golden_chunk(origin)
        return "; ".join([*said, what]), likeness

    async def _about(self) -> Ready:
        """What the child says of itself, once it has its model. Raises `Sick`, `CannotRender`."""
        try:
            async with asyncio.timeout(LOAD_SECONDS_MAX):
                await self._engine.settled()
        except TimeoutError:
            raise Sick(f"the model was not loaded in {LOAD_SECONDS_MAX:.0f} s") from None
        assert self._engine.about is not None, "a child that is ready says what it is"
        return self._engine.about

    async def _card(self) -> list[Finding]:
        try:
            async with asyncio.timeout(DRIVER_SECONDS_MAX):
                return await asyncio.to_thread(findings, self._device, self._open_nvml)
        except TimeoutError:
            raise Sick(f"the driver did not answer in {DRIVER_SECONDS_MAX:.0f} s") from None

    def _origin(self, about: Ready) -> Origin:
        width, height = CPU_SIZE if self._device == "cpu" else GPU_SIZE
        return Origin(
            model_digest=about.model_digest,
            stack_id=about.stack_id.removesuffix(f",{encoder_id()}"),
            size=f"{width}x{height}",
        )

    async def _golden_chunk(self, origin: Origin) -> tuple[str, Likeness]:
        """Render, and compare; what was found. Raises `Sick`."""
        frames, seconds = await self._render(1, origin)
        took = f"golden chunk of {origin.size} in {seconds:.1f} s"
        references = await asyncio.to_thread(self._references, origin)
        found = [(each, psnr_db(frames, each.frames)) for each in references]
        likeness = Likeness(equal=found[0][1] is None, psnr_db=found[0][1]) if found else Likeness()
        for each, psnr in found:
            same_stack = each.origin.stack_id == origin.stack_id
            if psnr is not None and (same_stack or psnr < Limits().psnr_db_min):
                raise Sick(f"{took} differs from its reference: {psnr:.1f} dB", likeness)
        if likeness.equal:
            return f"{took} equals its reference", likeness
        again, _ = await self._render(2, origin)
        if (differs := psnr_db(frames, again)) is not None:
            raise Sick(f"{took} differs from itself rendered again: {differs:.1f} dB", likeness)
        if likeness.psnr_db is not None:
            close = f"{took} is close to the reference of another stack: {likeness.psnr_db:.1f} dB"
            return close, likeness
        return f"{took} equals itself rendered again", likeness

    def _references(self, origin: Origin) -> list[Reference]:
        """What the golden chunk is held against: the card's own before a change comes first."""
        found = [self._kept.load(origin)]
        try:
            path = self._golden / file_name(origin) if self._golden else None
            found.append(load(path, origin) if path else None)
        except GoldenError as error:  # of another model or size, and so nothing to compare with
            logger.info("%s", error)
        return [each for each in found if each is not None]

    async def _render(self, attempt: int, origin: Origin) -> tuple[Frames, float]:
        """The golden chunk's frames, and the seconds that they took. Raises `Sick`."""
        inbox: Inbox = asyncio.Queue()
        width, _, height = origin.size.partition("x")
        spec = golden_spec(int(width), int(height))
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
