"""Write docs/state-machine.md from the transition table, or check it with --check."""

import argparse
import ast
import inspect
import itertools
import sys
from pathlib import Path

from farm.domain import clip as life

DOCUMENT = Path(__file__).parents[1] / "docs" / "state-machine.md"

INTRODUCTION = """\
# A clip's life

`farm/domain/clip.py` holds the only state machine of the farm. This page is made from it:
`python tools/state_machine.py`; a test compares the two.

A clip enters as `queued`, or as `waiting` when it depends on something that has not ended. One that
asks for what the farm has a take of already enters as `done`, with that take (versions.md).
Rendering and uploading are phases of an attempt, not states. A batch has no such life: its progress
follows from its clips. What is not in the table is an error, and changes nothing.
"""


def explanations(source: str, name: str) -> dict[str, str]:
    """Member → the first paragraph of the docstring below it, for the class `name`."""
    [body] = [
        node.body
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef) and node.name == name
    ]
    found = {}
    for member, following in itertools.pairwise(body):
        if (
            isinstance(member, ast.Assign)
            and isinstance(member.targets[0], ast.Name)
            and isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
        ):
            found[member.targets[0].id] = one_line(str(following.value.value))
    return found


def one_line(text: str) -> str:
    """A docstring's first paragraph."""
    return " ".join(text.strip().split("\n\n")[0].split())


def states() -> dict[str, str]:
    """State → what it means."""
    said = explanations(inspect.getsource(life), "ClipState")
    return {state.value: said[state.name] for state in life.ClipState}


def events() -> dict[str, str]:
    """Event → what it means: the docstring of the class that carries it."""
    said = {kind.kind.value: one_line(inspect.getdoc(kind) or "") for kind in life.Event.__args__}
    said[life.EventKind.SUBMIT.value] = "Its batch was accepted, whole; the first of its events."
    return {kind.value: said[kind.value] for kind in life.EventKind}


def diagram() -> str:
    """The transitions as a Mermaid state diagram."""
    lines = ["stateDiagram-v2"]
    lines += [f"    [*] --> {state}: submit" for state in ("queued", "waiting", "done")]
    for (state, event), targets in life.TRANSITIONS.items():
        lines += [f"    {state} --> {target}: {event}" for target in sorted(targets)]
    lines += [f"    {state} --> [*]" for state in life.ClipState if state is life.ClipState.DONE]
    return "\n".join(lines)


def page() -> str:
    """The whole document."""
    rows = "\n".join(
        f"| {state} | {event} | {', '.join(sorted(targets))} |"
        for (state, event), targets in life.TRANSITIONS.items()
    )
    named = "\n".join(f"- **{name}**: {text}" for name, text in states().items())
    happens = "\n".join(f"- **{name}**: {text}" for name, text in events().items())
    return (
        f"{INTRODUCTION}\n```mermaid\n{diagram()}\n```\n\n## States\n\n{named}\n\n"
        f"## Events\n\n{happens}\n\n"
        f"## Transitions\n\n| from | event | to |\n|---|---|---|\n{rows}\n"
    )


def main() -> int:
    """Write the document, or say whether it is up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when stale")
    if not parser.parse_args().check:
        DOCUMENT.write_text(page(), encoding="utf-8")
        return 0
    if DOCUMENT.read_text(encoding="utf-8") == page():
        return 0
    print(f"{DOCUMENT} is not what farm/domain/clip.py says: run {Path(__file__).name}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
