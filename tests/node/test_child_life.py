"""A render child dies with its agent, whatever kills the agent; and its own death is noticed."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from node_agent.render.child import ChildGone, ChildOptions, RenderChild
from node_agent.render.guard import ExitCode
from node_agent.render.messages import (
    LoadFailed,
    Ready,
    Start,
    Started,
    Stop,
    command_bytes,
    read_report,
)
from node_agent.render.renderer import RenderSpec

PATIENCE_SECONDS = 120

AGENT = """
import asyncio, sys, threading
from node_agent.render.child import ChildOptions, RenderChild
from node_agent.render.messages import Start
from node_agent.render.renderer import RenderSpec

async def agent():
    child = RenderChild(ChildOptions(renderer="testcard", seconds_per_chunk=3600))
    await child.start()
    await anext(child)
    spec = RenderSpec(clip_id="c", prompt="p", frames=99, height=64, width=64, seed=1)
    await child.send(Start(spec=spec, attempt=1, fps=24, directory=sys.argv[1]))
    await anext(child)
    print(child.pid, flush=True)
    await asyncio.Event().wait()

thread = threading.Thread(target=lambda: asyncio.run(agent()))
thread.start()
thread.join()
"""


def is_gone(pidfd: int, seconds: float = PATIENCE_SECONDS) -> bool:
    """True once the process has ended (a pidfd is readable then), within `seconds`."""
    return bool(select.select([pidfd], [], [], seconds)[0])


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], int, int]]:
    """An agent's process whose loop is not in its main thread; its child is in mid-chunk."""
    command = [sys.executable, "-c", AGENT, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        pidfd = os.pidfd_open(pid)
        yield process, pid, pidfd
        process.kill()
    if not is_gone(pidfd, 0):
        os.kill(pid, signal.SIGKILL)
    os.close(pidfd)


@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGABRT])
def test_the_child_dies_with_its_agent(agent, death):
    process, _, pidfd = agent
    assert not is_gone(pidfd, 0)
    process.send_signal(death)
    assert is_gone(pidfd)


def test_the_kernel_alone_ends_a_child_whose_pipe_stays_open(agent):
    """Somebody else, here this test, holds the pipe: its end never comes."""
    process, pid, pidfd = agent
    folder = Path(f"/proc/{pid}/fd")
    pipes = [link for link in folder.iterdir() if link.readlink().name.startswith("pipe:")]
    held = [os.open(link, os.O_RDWR) for link in pipes]
    assert len(held) >= 2
    process.kill()
    assert is_gone(pidfd)
    for descriptor in held:
        os.close(descriptor)


def spawn(*more: str, parent: int | None = None) -> subprocess.Popen[bytes]:
    arguments = ["--renderer", "testcard", "--parent", str(parent or os.getpid()), *more]
    return subprocess.Popen(
        [sys.executable, "-m", "node_agent.render.process", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    )


def test_the_end_of_the_pipe_alone_ends_a_child_in_the_middle_of_a_chunk(tmp_path):
    """Its parent, this test, lives on: only the pipe can have told it."""
    spec = RenderSpec(clip_id="c", prompt="p", frames=99, height=64, width=64, seed=1)
    with spawn("--seconds-per-chunk", "3600") as process:
        process.stdin.write(
            command_bytes(Start(spec=spec, attempt=1, fps=24, directory=str(tmp_path)))
        )
        assert isinstance(read_report(process.stdout), Ready)
        assert isinstance(read_report(process.stdout), Started)
        process.stdin.close()
        assert process.wait(PATIENCE_SECONDS) == ExitCode.ORPHANED


def test_a_child_whose_agent_died_before_it_began_leaves():
    with spawn(parent=1) as process:
        assert process.wait(PATIENCE_SECONDS) == ExitCode.ORPHANED
        assert process.stdout.read() == b""


@pytest.mark.parametrize(
    "garbage", [b"\xff\xff\xff\xff", b"\0\0\0\2{}", b"\0\0\0\3abc", b'\0\0\0\x10{"kind":"dance"}']
)
def test_a_child_that_is_told_nonsense_leaves_and_says_so(garbage):
    with spawn() as process:
        process.stdin.write(garbage)
        assert process.wait(PATIENCE_SECONDS) == ExitCode.PROTOCOL
        assert process.stderr.read()


def test_what_libraries_print_does_not_disturb_the_reports():
    code = (
        "import os, subprocess, sys\n"
        "from node_agent.render.guard import take_pipes\n"
        "commands, reports = take_pipes()\n"
        "print('from python')\n"
        "sys.stdout.flush()\n"
        "os.write(1, b'from c\\n')\n"
        "subprocess.run(['echo', 'from a process'], check=True)\n"
        "assert sys.stdin.read() == ''\n"
        "assert commands.read(5) == b'hello'\n"
        "reports.write(b'a report')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=b"hello", capture_output=True, check=True, timeout=180
    )
    assert done.stdout == b"a report"
    assert done.stderr.split(b"\n") == [b"from python", b"from c", b"from a process", b""]


async def test_a_killed_child_is_noticed(rehearse):
    stage = await rehearse(seconds_per_chunk=3600)
    await stage.send(stage.order())
    await stage.next(Started)
    os.kill(stage.child.pid, signal.SIGKILL)
    assert await stage.rest() == []
    ending = await stage.child.wait()
    assert (ending.code, ending.signal) == (None, signal.SIGKILL)
    assert "SIGKILL" in str(ending)
    with pytest.raises(ChildGone):
        await stage.send(Stop())
    stage.child.kill()  # of a dead one: nothing


async def test_kill_ends_a_child_that_answers_nothing(rehearse):
    stage = await rehearse()
    os.kill(stage.child.pid, signal.SIGSTOP)
    ending = await stage.child.stop(grace_seconds=0.2)
    assert ending.signal == signal.SIGKILL


async def test_a_write_that_hangs_ends_when_the_child_is_killed(rehearse):
    stage = await rehearse()
    os.kill(stage.child.pid, signal.SIGSTOP)
    order = stage.order("long", frames=33)
    long = replace(order, spec=replace(order.spec, prompt="over and over " * 500_000))
    flood = asyncio.create_task(stage.send(long))
    await asyncio.sleep(0)
    stage.child.kill()
    with pytest.raises(ChildGone):
        await flood


async def test_stop_ends_a_child_in_the_middle_of_a_chunk(rehearse):
    stage = await rehearse(seconds_per_chunk=3600)
    await stage.send(stage.order())
    await stage.next(Started)
    ending = await stage.child.stop()
    assert (ending.code, ending.signal) == (ExitCode.STOPPED, None)


async def test_a_renderer_that_cannot_start_says_why():
    child = RenderChild(ChildOptions(renderer="testcard", seconds_per_chunk=-1))
    await child.start()
    reports = [report async for report in child]
    assert isinstance(reports[0], LoadFailed)
    assert "-1" in reports[0].message
    assert (await child.wait()).code == ExitCode.LOAD_FAILED


def test_an_agent_may_run_its_loop_in_any_thread():
    seen: list[object] = []

    async def agent() -> None:
        child = RenderChild(ChildOptions(renderer="testcard"))
        await child.start()
        seen.append(await anext(child))
        seen.append(await child.stop())

    thread = threading.Thread(target=lambda: asyncio.run(agent()))
    thread.start()
    thread.join(60)
    assert isinstance(seen[0], Ready)
    assert seen[1].code == ExitCode.STOPPED
