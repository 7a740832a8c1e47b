"""Runs a program that ends when the process that started it does, however that ends.

python -m node_agent.cluster.bound PARENT PROGRAM ARGUMENT…
"""

from __future__ import annotations

import os
import signal
import sys

from node_agent.render.guard import die_with_parent


def main() -> None:
    """Become the program; the parent-death signal stays."""
    die_with_parent(int(sys.argv[1]), signal.SIGTERM)
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - the program is our own caller's


if __name__ == "__main__":
    main()
