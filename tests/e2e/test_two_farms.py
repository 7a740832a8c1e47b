"""Two farms side by side on one machine, at work at once: neither knows of the other.

The second renders with helios-tiny, the real model classes, as `farm-node model tiny` builds it.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from farm.domain.clip import ClipState
from tests.fixtures.farm import BIN, RealFarm, assert_nothing_left, clean_environment, running_farm
from tests.fixtures.oracle import Verdict, check_farm

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

PROMPTS = [
    {
        "id": f"tiny {n}",
        "prompt": f"a {colour} balloon over a lake",
        "frames": frames,
        "size": "128x128",
        "steps": "1,1,1",
        "seed": str(n),
    }
    for n, (colour, frames) in enumerate([("red", "99"), ("blue", "33")])
]
CARDS = [
    {"id": f"card {n}", "prompt": "p", "frames": "330", "size": "64x64", "seed": str(n)}
    for n in range(4)
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("models") / "tiny"
    subprocess.run(
        [BIN / "farm-node", "model", "tiny", directory], check=True, env=clean_environment()
    )
    return directory


@pytest.fixture(scope="module")
def helios(farm: RealFarm, model: Path) -> Iterator[RealFarm]:
    """The second farm, started while the first one runs."""
    with running_farm(renderer="helios", model=str(model), cpu_cards=1) as helios:
        yield helios


def test_both_farms_work_at_once_and_one_ends_without_the_other(farm: RealFarm, helios: RealFarm):
    cards, films = farm.submit(CARDS, "cards"), helios.submit(PROMPTS, "films")
    helios.wait_until_ended(films, 300)
    farm.wait_until_ended(cards)
    verdict = check_farm(helios, films, submitted=len(PROMPTS), cards=False)
    check_helios(verdict)
    disturbed = helios.submit(PROMPTS, "the same, disturbed")
    helios.wait_for_chunks(disturbed, 1, leased=1)
    helios.kill("child")
    helios.wait_until_ended(disturbed, 300)
    again = check_farm(helios, disturbed, submitted=len(PROMPTS), cards=False)
    check_helios(again)
    assert again.kinds()["fail"] == 1
    assert again.takes == verdict.takes, "a resumed clip is another film"

    assert check_farm(farm, cards, submitted=len(CARDS)).states() == {ClipState.DONE: len(CARDS)}

    for one, other, count in ((farm, helios, 2), (helios, farm, 1)):
        assert len(one.client.cards()) == count, "a farm sees its own cards only"
        assert one.settings.ray_directory != other.settings.ray_directory
        assert not {batch.name for batch in one.client.list()} & {
            batch.name for batch in other.client.list()
        }
    done = helios.cli("status", "--endpoint", f"127.0.0.1:{farm.port}", code=None)
    assert done.returncode != 0, "one farm's token opens the other's door"

    helios.down()
    assert_nothing_left(helios.settings)
    after = farm.submit(CARDS, "after the other farm's end")
    farm.wait_until_ended(after)
    check_farm(farm, after, submitted=len(CARDS))


def check_helios(verdict: Verdict) -> None:
    """Real chunks: a negative beside every segment, and a model and stack by name."""
    assert verdict.states() == {ClipState.DONE: len(PROMPTS)}
    for clip_id, chunks in verdict.chunks.items():
        take = verdict.clips[clip_id].take
        assert take is not None
        assert len(take.model_digest) == 64
        assert take.stack_id
        assert all({"segment", "negative"} <= {o.kind for o in c.objects} for c in chunks)
