"""Releases: versions of Heliostat side by side on a node, each an environment of its own.

    catalog  which there are, which one runs, which one the node's service starts with
    install  a release that is there whole or not at all, and goes again

A farm's rollout brings a card from one to another (docs/upgrades.md); the node's own is the one
that its `farm-node join` was started with.
"""
