"""When traces are on, what a `traceparent` is, and which ids an item has."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from pipeline.errors import InvalidSettings
from pipeline.telemetry.families import SPANS_DROPPED
from pipeline.telemetry.meter import NULL, ProcessMeter, process_meter, set_process_meter
from pipeline.telemetry.trace_ids import attempt_span_id, item_trace
from pipeline.telemetry.traceparent import TraceContext, parse_traceparent
from pipeline.telemetry.tracing import is_tracing, report_dropped

VALID = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


def test_traces_are_on_only_with_an_endpoint() -> None:
    assert not is_tracing({})
    assert not is_tracing({"OTEL_EXPORTER_OTLP_ENDPOINT": " "})
    assert not is_tracing({**ENDPOINT, "OTEL_SDK_DISABLED": "True"})
    assert is_tracing(ENDPOINT)
    assert is_tracing({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"})


@pytest.mark.parametrize(("protocol", "message"), [("grpc", "over gRPC is not supported"), ("http/json", "http/json")])
def test_another_protocol_is_refused(protocol: str, message: str) -> None:
    with pytest.raises(InvalidSettings, match=message):
        is_tracing({**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol})


def test_a_traceparent_is_read_and_written() -> None:
    found = parse_traceparent(VALID)
    assert found == TraceContext(0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331, is_sampled=True)
    assert str(found) == VALID


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x" * 10_000,
        VALID.replace("00-", "ff-", 1),
        VALID.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32),
        VALID.replace("b7ad6b7169203331", "0" * 16),
        VALID.upper(),
        VALID + "-00",
        VALID[:-1],
        VALID.replace("-", "_"),
    ],
)
def test_anything_else_is_not_one(text: str) -> None:
    assert parse_traceparent(text) is None


def test_ids_are_the_same_everywhere_and_differ_by_replay_and_attempt() -> None:
    first = item_trace("b-1", 0, None, 1.0)
    assert first == item_trace("b-1", 0, None, 1.0)
    assert first.trace_id != item_trace("b-1", 1, None, 1.0).trace_id
    assert item_trace("b-1", 0, None, 0.0).is_sampled is False
    spans = {attempt_span_id("b-1", 0, stage, epoch) for stage in ("classify", "enrich") for epoch in (1, 2)}
    assert len(spans) == 4


def test_items_of_a_sampled_submission_are_in_its_trace() -> None:
    submission = parse_traceparent(VALID)
    assert submission is not None
    trace = item_trace("b-1", 0, submission, 0.0)
    assert (trace.trace_id, trace.parent_id, trace.is_sampled) == (submission.trace_id, submission.span_id, True)
    linked = item_trace("b-1", 0, submission._replace(is_sampled=False), 1.0)
    assert linked.link is not None
    assert linked.trace_id != submission.trace_id


def test_off_means_that_nothing_of_opentelemetry_is_imported() -> None:
    code = (
        "import sys, pipeline, pipeline.client.client, workers.app, workers.engine.stage_engine, pipeline.trace\n"
        "import pipeline.delivery.sender.loop, pipeline.delivery.sender.sender\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert ran.stdout.strip() == "[]"


def test_dropped_spans_are_counted() -> None:
    set_process_meter(ProcessMeter())
    try:
        report_dropped(3)
        assert process_meter().read().counters == {(SPANS_DROPPED.name, ()): 3}
    finally:
        set_process_meter(NULL)
