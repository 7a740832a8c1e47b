"""One render child for some `Start`s, one after another.

Every chunk is recorded before the child may go further on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    Report,
    Start,
    Started,
)


class RenderFailed(ReelError):
    """The render child could not do it; the message names the clip and the cause."""


async def run(
    options: ChildOptions,
    starts: Sequence[Start],
    log: Path,
    *,
    ready: Callable[[Ready], None],
    record: Callable[[ChunkDone], None],
) -> None:
    """Start a child, let it do `starts`, and end it, whatever happens; cancel it to stop it.

    `ready` may raise to refuse the child's model, `record` makes a chunk safe. `log` takes what
    the child says. Raises `RenderFailed`, OSError, and what the two raise.
    """
    clip = starts[0].spec.clip_id
    with log.open("ab") as stream:
        child = RenderChild(options, log=stream)
        await child.start()
        try:
            await _load(child, clip, log, ready)
            for start in starts:
                clip = start.spec.clip_id
                await child.send(start)
                await _follow(child, start, log, record)
        except ChildGone as error:
            raise RenderFailed(f"{clip}: {error}; see {log}") from error
        finally:
            await child.stop()


async def _load(child: RenderChild, clip: str, log: Path, ready: Callable[[Ready], None]) -> None:
    async for report in child:
        if isinstance(report, Ready):
            ready(report)
            return
        raise _failed(clip, report, log)
    raise ChildGone(str(await child.wait()))


async def _follow(
    child: RenderChild, start: Start, log: Path, record: Callable[[ChunkDone], None]
) -> None:
    clip = start.spec.clip_id
    async for report in child:
        match report:
            case Started():
                pass
            case ChunkDone():
                record(report)
                await child.send(Recorded(clip_id=clip, attempt=start.attempt, chunk=report.chunk))
            case Done():
                return
            case _:
                raise _failed(clip, report, log)
    raise ChildGone(str(await child.wait()))


def _failed(clip: str, report: Report, log: Path) -> RenderFailed:
    if isinstance(report, LoadFailed | Failed):
        where = f"; see {log}" if report.failure is Failure.NODE else ""
        return RenderFailed(f"{clip}: {report.message}{where}")
    return RenderFailed(f"{clip}: given up by the render child ({report.kind})")
