"""The coordinator: the only writer. It absorbs what cards report, decides, and commits.

Plain classes: no Ray, no network, no clock of their own. `Coordinator` is what others call.
"""

from farm.coordinator.coordinator import Coordinator

__all__ = ["Coordinator"]
