"""Heliostat's coordinator side: plan, ledger, gateway, client and command line."""

__version__ = "0.1.0"
