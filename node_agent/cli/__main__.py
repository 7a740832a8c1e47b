"""`python -m node_agent.cli` is `farm-node`."""

from node_agent.cli import main

main()
