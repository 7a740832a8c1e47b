"""One farm whose processes the chaos tests kill, and what its batch looks like undisturbed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from farm.failpoints import VARIABLE
from tests.fixtures.farm import RealFarm, running_farm
from tests.fixtures.oracle import Verdict, check_farm

SECONDS_PER_CHUNK = 0.25

ROWS = [
    *(
        {
            "id": f"long {n}",
            "prompt": f"the {n}th of the long ones",
            "frames": str(132 + 33 * (n % 2) - n),
            "size": "64x64",
            "seed": str(1000 + n),
        }
        for n in range(6)
    ),
    {"id": "short", "prompt": "one frame more", "frames": "34", "size": "128x64", "seed": "7"},
]
"""Six clips of four and five chunks, and one whose second chunk is a single frame."""


@dataclass
class Stage:
    """The farm, and the hashes of its takes when nothing is killed."""

    farm: RealFarm
    failpoints: Path
    """The folder where they are armed (`farm.failpoints`)."""
    rows: list[dict[str, str]] = field(default_factory=lambda: ROWS)
    hashes: dict[str, str] = field(default_factory=dict)
    figures: list[str] = field(default_factory=list)

    def submit(self, name: str) -> str:
        """The same clips as always, under another batch's name."""
        return self.farm.submit_patiently(self.rows, name)

    def take_hashes(self) -> None:
        """Render them undisturbed, to compare with."""
        batch_id = self.submit("undisturbed")
        self.farm.wait_until_ended(batch_id)
        verdict = self.check(batch_id)
        assert verdict.unreferenced == 0
        assert rendered_in_vain(self.farm, verdict) == {}
        self.hashes = hashes_of(verdict)

    def arm(self, point: str, passes: int) -> None:
        """Have whoever passes a failpoint as the n-th from now on die there."""
        (self.failpoints / f"{point}.hit").unlink(missing_ok=True)
        part = self.failpoints / f"{point}.part"
        part.write_text(str(passes), encoding="utf-8")
        part.rename(self.failpoints / point)

    def was_hit(self, point: str) -> bool:
        """Somebody has died there since it was armed."""
        return (self.failpoints / f"{point}.hit").exists()

    def check(self, batch_id: str) -> Verdict:
        """The oracle; every clip is done, byte for byte as when nothing was killed."""
        verdict = check_farm(self.farm, batch_id, submitted=len(self.rows))
        assert len(verdict.takes) == len(self.rows), f"{verdict.states()}\n{self.farm.diagnosis()}"
        if self.hashes:
            assert hashes_of(verdict) == self.hashes
        return verdict


def tell_soak(counts: Mapping[str, int]) -> None:
    """Add what held to the figures of the soak that runs this test (`tools/soak.py`), if one does.

    What is counted is named in its table: `kill agent`, `failpoint child.chunk.told`, `clips`.
    """
    if path := os.environ.get("HELIOSTAT_SOAK_COUNTS"):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps(counts) + "\n")


def hashes_of(verdict: Verdict) -> dict[str, str]:
    return {name: hashlib.sha256(take).hexdigest() for name, take in verdict.takes.items()}


@pytest.fixture(scope="package")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    failpoints = tmp_path_factory.mktemp("failpoints")
    environment = {VARIABLE: str(failpoints)}
    with running_farm(environment, seconds_per_chunk=SECONDS_PER_CHUNK) as farm:
        stage = Stage(farm, failpoints)
        stage.take_hashes()
        yield stage
        print("\n" + "\n".join(stage.figures))


def rendered_in_vain(farm: RealFarm, verdict: Verdict) -> dict[tuple[str, int], int]:
    """(Clip id, attempt) → chunks that the attempt began and did not get recorded.

    What was begun stands in the agents' logs, line by line as the render children wrote it; what
    was recorded, and by which attempt, in the ledger.
    """
    recorded = {
        (clip_id, chunk.attempt, chunk.chunk)
        for clip_id, chunks in verdict.chunks.items()
        for chunk in chunks
    }
    begun = {key: n for key, n in farm.begun().items() if key[0] in verdict.clips}
    assert recorded <= set(begun), f"recorded, never begun: {sorted(recorded - set(begun))}"
    vain: dict[tuple[str, int], int] = {}
    for (clip_id, attempt, chunk), times in begun.items():
        lost = times - ((clip_id, attempt, chunk) in recorded)
        if lost:
            vain[clip_id, attempt] = vain.get((clip_id, attempt), 0) + lost
    return vain
