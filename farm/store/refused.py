"""What the ledger's rooms say no with."""

from __future__ import annotations

from farm.domain.errors import FarmError


class LedgerRefused(FarmError):
    """The database is not one that this version of Heliostat may open."""

    reason = "LEDGER_REFUSED"


class LedgerMissing(LedgerRefused):
    """There is none yet, where one is to be read."""
