"""Where spans go, and which clips' are kept."""

from __future__ import annotations

import sys

import pytest

from heliostat.traces import SUBMIT, NoSpans, OtlpSpans, spans_of
from tests.fixtures.collector import running_collector


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:4318", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:4318", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_without_a_collector_nobody_wants_spans(environment: dict[str, str]):
    spans = spans_of("agent", environment)
    assert isinstance(spans, NoSpans)
    assert not spans.is_wanted("b-00001")


def test_without_the_extra_it_is_said_and_nothing_is_sent(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    spans = spans_of("agent", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"})
    assert isinstance(spans, NoSpans)
    assert "install heliostat[traces]" in caplog.text


def test_coordinator_and_agents_sample_the_same_clips(monkeypatch: pytest.MonkeyPatch):
    clips = [f"b-{number:05}" for number in range(60)]
    with running_collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", "traceidratio")
        monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
        both = [OtlpSpans("coordinator"), OtlpSpans("agent")]
        wanted = [clip_id for clip_id in clips if both[0].is_wanted(clip_id)]
        assert 10 < len(wanted) < 50
        assert wanted == [clip_id for clip_id in clips if both[1].is_wanted(clip_id)]
        for spans in both:
            for clip_id in clips:
                spans.emit(clip_id, SUBMIT, parent=None, start=1.0, end=2.5, attributes={})
            spans.close()
        received = collector.spans()
    assert len(received) == 2 * len(wanted)
    assert len({span.trace_id for span in received}) == len(wanted)
    assert {span.end_time_unix_nano - span.start_time_unix_nano for span in received} == {1.5e9}
