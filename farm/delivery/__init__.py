"""Folders of takes: whole files under their names, and a manifest that says what they are.

Clients that fetch and gateways that deliver write such folders, several of them at once.
"""
