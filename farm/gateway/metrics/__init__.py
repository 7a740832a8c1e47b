"""`/metrics`: one page for the whole fleet, and counters of what passes through this gateway.

Names, units and labels follow Prometheus's conventions; no label holds a clip, a batch or a
prompt. What is not known is absent, never 0. docs/metrics.md lists them all.
"""

from farm.gateway.metrics.fleet_page import CONTENT_TYPE, FleetPage
from farm.gateway.metrics.meters import Meters
from farm.gateway.metrics.storage import metered

__all__ = ["CONTENT_TYPE", "FleetPage", "Meters", "metered"]
