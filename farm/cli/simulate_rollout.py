"""`farm simulate-rollout`: how long a model takes to all nodes, and what its source sends."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli import output
from farm.cli.options import Json, command

if TYPE_CHECKING:
    from farm.sim.swarm import RolloutFigures

Nodes = Annotated[int, typer.Option(min=2, max=1000, help="Nodes, the canary counted.")]
Size = Annotated[float, typer.Option(min=0.1, max=1000, help="Of the model, in GB.")]
Link = Annotated[float, typer.Option(min=1, help="Of each node and the source, Mbit/s each way.")]
Killed = Annotated[int, typer.Option(min=0, help="Nodes that lose their power in mid-way.")]
Canary = Annotated[bool, typer.Option("--kill-canary", help="So does the one that begins.")]
Corrupting = Annotated[int, typer.Option(min=0, help="Nodes that send wrong bytes.")]
Slow = Annotated[int, typer.Option(min=0, help="Nodes with a tenth of the link.")]
Seed = Annotated[int, typer.Option(help="The same seed gives the same simulation.")]


@command
def simulate_rollout(
    nodes: Nodes = 62,
    size: Size = 40.0,
    link: Link = 1000.0,
    killed: Killed = 0,
    kill_canary: Canary = False,
    corrupting: Corrupting = 0,
    slow: Slow = 0,
    seed: Seed = 1,
    as_json: Json = False,
) -> int:
    """Simulate a model's way to many nodes: one has it from the source, the others from each other.

    Which piece is asked of whom is decided by what nodes decide it by; links and failures are
    simulated. Takes a minute or two for 62 nodes and 40 GB. Exit code 1 where a living node did not
    get it.
    """
    from farm.sim.swarm import PIECE_BYTES, Rollout, RolloutSimulation

    if killed + corrupting + slow >= nodes:
        raise typer.BadParameter(
            f"{killed} killed, {corrupting} corrupting and {slow} slow ones are not fewer than"
            f" {nodes} nodes, one of which is the canary"
        )
    plan = Rollout(
        nodes=nodes,
        pieces=-(-round(size * 1e9) // PIECE_BYTES),
        link=link * 1e6 / 8,
        killed=killed,
        canary_killed=kill_canary,
        corrupting=corrupting,
        slow=slow,
        seed=seed,
    )
    found = RolloutSimulation(plan).run()
    if as_json:
        output.print_json(asdict(found))
    else:
        _print(found)
    return output.OK if found.whole == found.alive else output.FAILED


def _print(found: RolloutFigures) -> None:
    last, bound = _minutes(found.seconds), _minutes(found.one_copy_seconds)
    fast = f", {_minutes(found.fast_seconds)} without the slow" if found.slow else ""
    lines = [
        ("model", f"{found.bytes / 1e9:.1f} GB, {bound} over one link"),
        ("whole", f"{found.whole} of {found.alive} living nodes, of {found.nodes}"),
        ("source", f"sent {found.source_copies:.2f} copies, one of them to the canary"),
        ("canary", f"sent {found.canary_copies:.2f} copies"),
        ("last node", f"after {last}{fast}; half of them after {_minutes(found.median_seconds)}"),
        ("instead of", f"{_minutes(found.one_source_seconds)} if all asked the source"),
    ]
    if found.wrong_pieces:
        named = ", ".join(found.named)
        lines.append(("refused", f"{found.wrong_pieces} wrong pieces, sent by {named}"))
    for name, text in lines:
        output.say(f"{name:>12}  {text}")


def _minutes(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"
