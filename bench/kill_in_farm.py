"""Uneven clips by a farm of two machines, one of which is killed midway."""

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from farm_run import RunningFarm, running_farm, wait_for_cards
from kill_work import KILL_SHARE, NODES, SLOTS_PER_NODE, begun_again, chunks_of, rows
from stores import RunningStore

from farm.domain.clip import ENDED, ClipState, EventKind
from farm.store import SqlLedger, open_ledger

POLL_SECONDS = 0.05
EVENTS_MAX = 1_000_000
_BEGINS = re.compile(r"render-child (\S+) attempt \d+ begins chunk (\d+)")


def run(options: dict[str, Any], store: RunningStore) -> dict[str, Any]:
    """One run in a farm of its own: the same figures as `kill_in_ray_data.py` prints."""
    seconds = options["seconds_per_chunk"]
    with (
        running_farm(SLOTS_PER_NODE, store, seconds_per_chunk=seconds) as farm,
        second_machine(farm, seconds) as second,
    ):
        wait_for_cards(farm, NODES * SLOTS_PER_NODE)
        return _render(options, farm, second)


class SecondMachine:
    """`farm-node join` in a directory of its own, with all that it starts."""

    def __init__(self, farm: RunningFarm, seconds_per_chunk: float) -> None:
        self._farm = farm
        self._seconds = seconds_per_chunk
        self.directory = Path(tempfile.mkdtemp(prefix="heliostat-bench-"))
        self.start()

    def start(self) -> None:
        """Join, the first time or again."""
        settings = self._farm.settings
        self._process = subprocess.Popen(
            [
                *(Path(sys.executable).parent / "farm-node", "join"),
                *(f"127.0.0.1:{settings.port}", "--name", "second", "--no-doctor"),
                *("--token-file", settings.secret("ray_token"), "--dir", self.directory),
                *("--spool", self.directory / "spool", "--cpu-cards", str(SLOTS_PER_NODE)),
                *("--gpu-cards", "0", "--renderer", "testcard"),
                *("--seconds-per-chunk", str(self._seconds)),
            ],
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def kill(self) -> float:
        """SIGKILL every process of it. Returns when, in Unix seconds."""
        with suppress(psutil.NoSuchProcess):
            own = psutil.Process(self._process.pid)
            for process in [own, *own.children(recursive=True)]:
                with suppress(psutil.NoSuchProcess):  # one may bring another down
                    process.kill()
        self._process.wait()
        return time.time()

    @property
    def ray_directory(self) -> Path:
        """Where its Ray keeps its sessions (`node_agent.cluster.keeper`)."""
        marker = hashlib.sha256(str(self.directory).encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"heliostat-node-{marker}"


@contextmanager
def second_machine(farm: RunningFarm, seconds_per_chunk: float) -> Iterator[SecondMachine]:
    """Another machine's cards, gone on the way out."""
    second = SecondMachine(farm, seconds_per_chunk)
    try:
        yield second
    finally:
        second.kill()
        shutil.rmtree(second.ray_directory, ignore_errors=True)
        shutil.rmtree(second.directory, ignore_errors=True)


def _render(options: dict[str, Any], farm: RunningFarm, second: SecondMachine) -> dict[str, Any]:
    batch = farm.client.submit(rows(options["clips"]), name="kill").batch
    assert batch is not None
    ledger = open_ledger(farm.settings.store_path)
    logs = _Logs(farm, second)
    try:
        total = sum(map(chunks_of, rows(options["clips"])))
        deadline = time.time() + options["seconds_max"]
        while ledger.progress([batch.batch_id])[batch.batch_id].chunks_done < KILL_SHARE * total:
            time.sleep(POLL_SECONDS)
        killed_at = second.kill()
        logs.read()
        back_at = killed_at + (options["back_after"] or float("inf"))
        while time.time() < deadline and not _ended(ledger, batch.batch_id):
            if time.time() > back_at:
                second.start()
                back_at = float("inf")
            time.sleep(POLL_SECONDS)
        return _result(ledger, batch.batch_id, killed_at, logs, options)
    finally:
        ledger.close()


class _Logs:
    """What render children said when they began a chunk, in their agents' logs of both machines."""

    def __init__(self, farm: RunningFarm, second: SecondMachine) -> None:
        self._directories = (farm.settings.ray_directory, second.ray_directory)
        self._said: dict[str, list[tuple[str, str]]] = {}

    def read(self) -> Counter[tuple[str, str]]:
        """(clip id, chunk) → how often it was begun; a machine that comes back has new logs."""
        for directory in self._directories:
            for log in directory.glob("session_2*/logs/worker-*.err"):
                self._said[log.name] = _BEGINS.findall(log.read_text(errors="replace"))
        return Counter(pair for said in self._said.values() for pair in said)


def _ended(ledger: SqlLedger, batch_id: str) -> bool:
    clips = ledger.progress([batch_id])[batch_id].clips
    return not any(count for state, count in clips.items() if state not in ENDED)


def _result(
    ledger: SqlLedger, batch_id: str, killed_at: float, logs: _Logs, options: dict[str, Any]
) -> dict[str, Any]:
    events = ledger.events(after=0, limit=EVENTS_MAX, batch_id=batch_id)
    ended_well = _ended(ledger, batch_id)
    began = next(event.at for event in events if event.kind == EventKind.LEASE)
    done = [event for event in events if event.kind == EventKind.DONE]
    ended = done[-1].at
    clips = ledger.progress([batch_id])[batch_id].clips
    return {
        "seconds": ended - began if ended_well else None,
        "seconds_after_the_kill": ended - killed_at if ended_well else None,
        "chunks_begun_again": begun_again(logs.read()),
        "clips_without_a_take": options["clips"] - clips.get(ClipState.DONE, 0),
        "clips_delivered_again": begun_again(Counter(event.clip_id for event in done)),
        "error": "" if ended_well else f"not ended after {options['seconds_max']:.0f} s",
    }
