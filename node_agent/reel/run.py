"""One render child for one `Start`: every chunk is recorded before the child may go further on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from node_agent.reel.reel import ReelError
from node_agent.render.child import ChildGone, ChildOptions, RenderChild
from node_agent.render.messages import (
    ChunkDone,
    Done,
    Failed,
    Failure,
    LoadFailed,
    Ready,
    Recorded,
    Start,
    Started,
)


class RenderFailed(ReelError):
    """The render child could not do it; the message names the clip and the cause."""


async def run(
    options: ChildOptions,
    start: Start,
    log: Path,
    *,
    ready: Callable[[Ready], None],
    record: Callable[[ChunkDone], None],
) -> None:
    """Start a child, let it do `start`, and end it, whatever happens; cancel it to stop it.

    `ready` may raise to refuse the child's model, `record` makes a chunk safe. `log` takes what
    the child says. Raises `RenderFailed`, OSError, and what the two raise.
    """
    with log.open("ab") as stream:
        child = RenderChild(options, log=stream)
        await child.start()
        try:
            await _follow(child, start, log, ready, record)
        except ChildGone as error:
            raise RenderFailed(f"{start.spec.clip_id}: {error}; see {log}") from error
        finally:
            await child.stop()


async def _follow(
    child: RenderChild,
    start: Start,
    log: Path,
    ready: Callable[[Ready], None],
    record: Callable[[ChunkDone], None],
) -> None:
    clip = start.spec.clip_id
    async for report in child:
        match report:
            case Ready():
                ready(report)
                await child.send(start)
            case Started():
                pass
            case ChunkDone():
                record(report)
                await child.send(Recorded(clip_id=clip, attempt=start.attempt, chunk=report.chunk))
            case Done():
                return
            case LoadFailed() | Failed():
                where = f"; see {log}" if report.failure is Failure.NODE else ""
                raise RenderFailed(f"{clip}: {report.message}{where}")
            case _:
                raise RenderFailed(f"{clip}: given up by the render child ({report.kind})")
    raise ChildGone(str(await child.wait()))
