"""Keeps this machine in a farm's cluster until it is told to leave.

A node that Ray has declared dead, because its link was down or it was stopped for too long, ends
its own Ray and stays away; here it is started again, as often as it takes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from node_agent.agent import LEAVING
from node_agent.cluster.presence import CardState, Presence
from node_agent.cluster.processes import Program, adopt_orphans
from node_agent.cluster.progress import Progress
from node_agent.cluster.ray_node import CardFacts, Head, command, environment
from node_agent.cluster.settings import NodeSettings

LOOK_SECONDS = 0.5
PAUSE_SECONDS_FIRST = 1.0
PAUSE_SECONDS_MAX = 10.0
STARTED = b"Ray runtime started"
"""What `ray start` says once its node is known to the head."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """What a machine joins as."""

    head: Head
    name: str
    settings: NodeSettings
    cards: tuple[CardFacts, ...]
    ram_bytes: int
    token: str = field(repr=False)
    leave_seconds: float
    """So long cards may take to come to a chunk's end."""


class Keeper:
    """The supervisor of this machine's Ray."""

    def __init__(self, member: Membership, ray_directory: Path, say: Callable[[str], None]) -> None:
        """`say` is told, in a line each, what a person at this machine wants to know."""
        self.stop = threading.Event()
        """Set: leave the farm."""
        self.hurry = threading.Event()
        """Set: and do not wait for the cards."""
        self._member = member
        self._ray_directory = ray_directory
        self._log = member.settings.directory / "ray.log"
        self._presence = Presence(member.settings.directory)
        self._say = say
        self._said = ""

    def run(self) -> None:
        """Join, join again whenever that ends, and leave when told to. Raises OSError."""
        adopt_orphans()
        self._presence.clear()
        shutil.rmtree(self._ray_directory, ignore_errors=True)
        pause = PAUSE_SECONDS_FIRST
        while not self.stop.is_set():
            joined = self._join_once()
            pause = PAUSE_SECONDS_FIRST if joined else min(2 * pause, PAUSE_SECONDS_MAX)
            self.stop.wait(pause)
        shutil.rmtree(self._ray_directory, ignore_errors=True)

    def _join_once(self) -> bool:
        """One life of this machine's Ray, to its end. True when it got into the farm."""
        member, progress = self._member, Progress(self._say)
        try:
            address = member.head.own_address()
        except OSError as error:
            self._say_once(
                f"the head does not answer at {member.head.ray_address} ({error}): trying on; "
                "check the address, that the farm is up, and firewalls between"
            )
            return False
        arguments = command(
            member.head,
            address=address,
            name=member.name,
            directory=self._ray_directory,
            cards=member.cards,
            ram_bytes=member.ram_bytes,
        )
        self._log.write_bytes(b"")
        with self._log.open("ab") as log:  # so that whoever rotates it may shorten it
            ray = Program(arguments, "raylet", environment(member.settings, member.token), log)
        try:
            return self._watch(ray, progress)
        finally:
            ray.end()
            self._presence.forget_cards()
            self._keep_logs()

    def _keep_logs(self) -> None:
        """Copy what Ray's processes wrote, the agents' words among it, beside the node's state."""
        session, kept = self._ray_directory / "session_latest" / "logs", self._log.parent / "logs"
        if session.is_dir():
            shutil.rmtree(kept, ignore_errors=True)
            with suppress(OSError):  # shutil.Error is one: a log may go while it is copied
                shutil.copytree(session, kept)

    def _watch(self, ray: Program, progress: Progress) -> bool:
        """Stay while Ray is whole, or until it is time to leave and the cards are idle."""
        joined = False
        while ray.is_whole() and not self.stop.wait(LOOK_SECONDS):
            if not joined and STARTED in self._log.read_bytes():
                joined = True
                count = len(self._member.cards)
                cards = f"{count} card" + ("s" if count > 1 else "")
                self._say_once(f"joined {self._member.head.host} as {self._member.name}: {cards}")
            progress.look(self._presence.cards())
        if self.stop.is_set():
            self._leave(ray)
        elif joined:
            self._say_once("this machine has lost the farm, or Ray held it for dead: joining again")
        else:
            self._say_once(
                f"Ray did not start, trying again: {self._log} says why, unless this machine is "
                "too busy"
            )
        return joined

    def _leave(self, ray: Program) -> None:
        """Have the cards give up their clips at the next chunk, and wait for it."""
        self._presence.ask_to_leave()
        self._say("leaving: clips are given up at their next chunk")
        waited = 0.0
        while ray.is_whole() and not self.hurry.is_set():
            states = self._presence.cards()
            if all(map(_is_idle, states.values())):
                self._say("left: nothing was held any more")
                return
            if waited >= self._member.leave_seconds:
                break
            self.hurry.wait(LOOK_SECONDS)
            waited += LOOK_SECONDS
        self._say("left: what cards still held goes on elsewhere, from its last recorded chunk")

    def _say_once(self, line: str) -> None:
        """What is the same as before need not be said."""
        if line != self._said:
            self._said = line
            self._say(line)


def _is_idle(state: CardState) -> bool:
    return state.condition == LEAVING and not state.held


def ray_directory(directory: Path) -> Path:
    """Where the Ray of such a node keeps its sessions: a short path, for its sockets' names."""
    marker = hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"heliostat-node-{marker}"
