"""What keeps a burn-in from beginning."""

from __future__ import annotations


class BurnInError(Exception):
    """A file of an earlier burn-in cannot be used; the message says which, why and what to do."""


class GoldenError(BurnInError):
    """A golden chunk cannot be compared with."""


class RecordError(BurnInError):
    """A record cannot be gone on with."""
