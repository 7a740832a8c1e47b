"""What can go wrong in joining, told in a sentence; needs nothing of the extra [node]."""

from __future__ import annotations


class JoinError(Exception):
    """The machine cannot join; the message says why and what helps."""
