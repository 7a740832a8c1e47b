"""What is set of logs and traces, how much a log may hold, and how much of it travels at once."""

from __future__ import annotations

from typing import Final

LEVEL_VARIABLE: Final = "HELIOSTAT_LOG_LEVEL"
LEVELS: Final = ("debug", "info", "warning", "error")
ENDPOINT_VARIABLE: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
"""OpenTelemetry's own; with it set, spans are sent there by OTLP over HTTP."""

FILE_BYTES_MAX: Final = 4 << 20
FILES_MAX: Final = 4
"""A log file and those before it, `NAME.1` being the latest of these."""
PAGE_LINES_MAX: Final = 2_000
PAGE_BYTES_MAX: Final = 256 << 10
"""Of one answer of a card: several of them fit into a gRPC message."""
