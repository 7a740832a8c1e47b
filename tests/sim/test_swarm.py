"""A model's rollout in the simulator: few copies from the source, whatever happens to the nodes."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from farm.cli.app import app
from farm.sim.swarm import Rollout, RolloutFigures, RolloutSimulation
from farm.sim.swarm_links import Links

PIECES = 120
"""A model of 2 GB."""
COPIES_MAX = 3


def simulate(**said: object) -> RolloutFigures:
    plan = Rollout(nodes=62, pieces=PIECES, **said)  # type: ignore[arg-type]
    found = RolloutSimulation(plan).run()
    assert found.whole == found.alive
    assert found.source_copies <= COPIES_MAX
    return found


def test_all_nodes_have_it_in_a_small_part_of_the_time_and_the_source_sends_it_once() -> None:
    found = simulate()
    assert found.source_copies == 1
    assert found.one_copy_seconds < found.seconds < found.one_source_seconds / 10


@pytest.mark.parametrize("seed", [1, 2])
def test_neighbours_the_canary_a_liar_and_slow_ones_stop_nobody(seed: int) -> None:
    found = simulate(killed=6, canary_killed=True, corrupting=1, slow=6, seed=seed)
    assert found.alive == 55
    assert len(found.named) == 1
    assert 0 < found.wrong_pieces <= 2 * 61
    assert found.seconds >= 10 * found.one_copy_seconds > found.fast_seconds
    assert found.source_copies > 1


def test_only_one_who_sends_wrong_pieces_is_named() -> None:
    assert simulate().named == ()
    assert len(simulate(corrupting=2).named) == 2


def test_links_are_shared_max_min_fair() -> None:
    """Of three who send to one another: a link of 1, and two of 10 (bytes a second)."""
    links: Links[str] = Links([10.0, 10.0, 1.0])
    for giver, taker, what in ((0, 1, "a"), (0, 2, "b"), (1, 0, "c")):
        links.open(giver, taker, 90, what)
    assert links.step_seconds(0.0, 100.0) == pytest.approx(9.0)  # c alone has a whole link
    assert links.advance(9.0) == ["c"]
    assert links.sent(0) == pytest.approx(90.0)  # 9 a second to a, 1 to b
    assert links.sent(2) == 0


def test_the_command_says_it_for_people_and_programs() -> None:
    asked = ["simulate-rollout", "--nodes", "8", "--size", "0.5", "--corrupting", "1"]
    said = CliRunner().invoke(app, asked)
    assert said.exit_code == 0, said.output
    assert "8 of 8 living nodes" in said.output
    assert "wrong pieces, sent by node" in said.output
    one, two = (CliRunner().invoke(app, [*asked, "--json"]).stdout for _ in range(2))
    assert one == two
    assert json.loads(one)["source_copies"] == 1


def test_more_trouble_than_nodes_is_refused() -> None:
    asked = ["simulate-rollout", "--nodes", "8", "--killed", "8"]
    assert CliRunner().invoke(app, asked).exit_code == 2
