"""What can keep a service from being installed or taken away, told in a sentence."""

from __future__ import annotations


class ServiceError(Exception):
    """It cannot be done; the message says why and what helps."""

    reason = "NOT_INSTALLED"
