"""One farm whose processes the chaos tests kill, and what its batch looks like undisturbed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

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
    hashes: dict[str, str] = field(default_factory=dict)
    figures: list[str] = field(default_factory=list)

    def submit(self, name: str) -> str:
        """The same clips as always, under another batch's name."""
        return self.farm.submit(ROWS, name)

    def check(self, batch_id: str) -> Verdict:
        """The oracle; every clip is done, byte for byte as when nothing was killed."""
        verdict = check_farm(self.farm, batch_id, submitted=len(ROWS))
        assert len(verdict.takes) == len(ROWS), f"{verdict.states()}\n{self.farm.diagnosis()}"
        if self.hashes:
            assert hashes_of(verdict) == self.hashes
        return verdict


def hashes_of(verdict: Verdict) -> dict[str, str]:
    return {name: hashlib.sha256(take).hexdigest() for name, take in verdict.takes.items()}


@pytest.fixture(scope="package")
def stage() -> Iterator[Stage]:
    with running_farm(seconds_per_chunk=SECONDS_PER_CHUNK) as farm:
        stage = Stage(farm)
        batch_id = stage.submit("undisturbed")
        farm.wait_until_ended(batch_id)
        verdict = stage.check(batch_id)
        assert verdict.unreferenced == 0
        assert rendered_in_vain(farm, verdict) == {}
        stage.hashes = hashes_of(verdict)
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
