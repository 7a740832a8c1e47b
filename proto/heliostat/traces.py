"""Spans of a clip's life for OpenTelemetry; nothing at all where no collector is named.

A clip is a trace. Its ids follow from the clip's id, so that coordinator and agents tell parts of
one trace without handing anything around:

    submit                      from the submission to the first lease
    └─ attempt N                a lease; linked to attempt N - 1
       ├─ chunk K               rendered and encoded, on the card
       ├─ upload                of each file, on the card
       └─ commit                of the take

Needs the extra `traces`. What is set is OpenTelemetry's own: see docs/logs.md.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Protocol

from heliostat.logs.settings import ENDPOINT_VARIABLE

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext

logger = logging.getLogger(__name__)

Path = tuple[str | int, ...]
"""Names a span within its trace, as ("attempt", 2) or ("chunk", 2, 0)."""
Attributes = Mapping[str, str | int | float]

SUBMIT: Final[Path] = ("submit",)
_ENDPOINTS: Final = (ENDPOINT_VARIABLE, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def attempt_path(attempt: int) -> Path:
    """The span of an attempt."""
    return ("attempt", attempt)


class Spans(Protocol):
    """Where spans go."""

    def is_wanted(self, clip_id: str) -> bool:
        """Spans of this clip are kept: there is a collector, and sampling took the clip."""
        ...

    def emit(
        self,
        clip_id: str,
        path: Path,
        *,
        parent: Path | None,
        start: float,
        end: float,
        attributes: Attributes,
        after: Path | None = None,
        error: str = "",
    ) -> None:
        """Tell a span that is over, in Unix seconds; `after` is one that it is linked to."""
        ...


class NoSpans:
    """Nobody wants any."""

    def is_wanted(self, clip_id: str) -> bool:  # noqa: ARG002
        """No."""
        return False

    def emit(self, *_: object, **__: object) -> None:
        """Nothing."""


class OtlpSpans:
    """To a collector by OTLP over HTTP, in batches, from a thread of its own."""

    def __init__(self, component: str) -> None:
        """Raises ImportError without the extra `traces`."""
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        name = os.environ.get("OTEL_SERVICE_NAME", "") or f"heliostat-{component}"
        self._resource = Resource.create({"service.name": name})
        self._processor = BatchSpanProcessor(OTLPSpanExporter())
        # the provider knows the sampler that OTEL_TRACES_SAMPLER names, and flushes at the end
        self._provider = TracerProvider(resource=self._resource)
        self._provider.add_span_processor(self._processor)

    def is_wanted(self, clip_id: str) -> bool:
        """See `Spans.is_wanted`."""
        from opentelemetry.sdk.trace.sampling import Decision

        found = self._provider.sampler.should_sample(None, _trace_id(clip_id), "clip")
        return found.decision is Decision.RECORD_AND_SAMPLE

    def close(self) -> None:
        """Send what waits; a process that ends does it by itself."""
        self._provider.shutdown()

    def emit(
        self,
        clip_id: str,
        path: Path,
        *,
        parent: Path | None,
        start: float,
        end: float,
        attributes: Attributes,
        after: Path | None = None,
        error: str = "",
    ) -> None:
        """See `Spans.emit`."""
        if not self.is_wanted(clip_id):
            return
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope
        from opentelemetry.trace import Link, Status, StatusCode

        self._processor.on_end(
            ReadableSpan(
                name=str(path[0]),
                context=_context(clip_id, path),
                parent=_context(clip_id, parent) if parent else None,
                resource=self._resource,
                attributes={"heliostat.clip_id": clip_id, **attributes},
                links=[Link(_context(clip_id, after))] if after else (),
                status=Status(StatusCode.ERROR, error) if error else Status(),
                start_time=round(start * 1e9),
                end_time=round(end * 1e9),
                instrumentation_scope=InstrumentationScope("heliostat"),
            )
        )


def spans_of(component: str, environment: Mapping[str, str] = os.environ) -> Spans:
    """Where this process's spans go, as OpenTelemetry's variables say."""
    is_off = (
        environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
        or environment.get("OTEL_TRACES_EXPORTER", "") == "none"
    )
    if is_off or not any(environment.get(name) for name in _ENDPOINTS):
        return NoSpans()
    try:
        return OtlpSpans(component)
    except ImportError as error:
        logger.warning("no spans are sent (%s): install heliostat[traces]", error)
        return NoSpans()


def _context(clip_id: str, path: Path) -> SpanContext:
    from opentelemetry.trace import SpanContext, TraceFlags

    name = "/".join(map(str, (clip_id, *path)))
    span_id = int.from_bytes(sha256(name.encode()).digest()[:8])
    flags = TraceFlags(TraceFlags.SAMPLED)
    return SpanContext(_trace_id(clip_id), span_id, is_remote=False, trace_flags=flags)


def _trace_id(clip_id: str) -> int:
    return int.from_bytes(sha256(clip_id.encode()).digest()[:16])
