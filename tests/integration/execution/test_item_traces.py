"""Each sampled item is one whole trace, written after the fact."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pipeline
from pipeline.telemetry import item_log, tracing
from tests.support.factories import connect, make_definition, make_items
from tests.support.receivers.spans import ReceivedSpan, SpanReceiver

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
STEPS = """
import pathlib
from opentelemetry import trace
from pipeline import Permanent

def classify(item):
    if item.payload.get("dies"):
        raise Permanent("never")
    if item.payload.get("fails") and item.attempt == 1:
        raise ValueError("once")
    return format(trace.get_current_span().get_span_context().span_id, "016x")

async def enrich(item):
    return {"span": format(trace.get_current_span().get_span_context().span_id, "016x")}
"""


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[SpanReceiver]:
    with SpanReceiver() as made:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", made.url)
        yield made
        tracing.flush()


def run(folder: Path, items: list[dict[str, Any]], *, rate: float = 1.0, **options: Any) -> list[pipeline.Result]:
    retry = {"max_attempts": 2, "base_seconds": 0.01}
    with connect(folder, trace_items=rate) as client:
        batch = client.submit(items, make_definition(folder, STEPS, retry=retry), **options)
        batch.wait()
        results = list(batch.results())
    tracing.flush()
    return results


def assert_whole(spans: list[ReceivedSpan], root: ReceivedSpan) -> None:
    """Every span has its parent in the trace, and lies within its root."""
    assert len({span.id for span in spans}) == len(spans)
    for span in spans:
        assert span is root or span.parent in {each.id for each in spans}, span.name
        assert span.name.startswith("submit") or root.start <= span.start <= span.end <= root.end, span.name


def test_each_item_of_a_large_batch_is_a_trace_linked_to_its_submission(tmp_path: Path, receiver: SpanReceiver) -> None:
    items = make_items(12) + [{"text": "x", "fails": True}, {"text": "x", "dies": True}]
    results = run(tmp_path, items, traceparent=CALLER)
    (submit,) = [span for span in receiver.spans if span.name.startswith("submit")]
    assert (submit.trace, submit.parent) == (CALLER.split("-")[1], CALLER.split("-")[2])
    assert submit.attributes["pipeline.batch.items"] == 14
    roots = {span.attributes["pipeline.item.id"]: span for span in receiver.spans if span.name == "item test"}
    assert len(roots) == 14
    traces = receiver.traces()
    for root in roots.values():
        assert root.links == [(submit.trace, submit.id)]
        assert_whole(traces[root.trace], root)
    by_position = {int(name.rpartition("-")[2]): root for name, root in roots.items()}
    names = {position: [span.name for span in traces[root.trace]] for position, root in by_position.items()}
    stages = [name for name in names[1] if name in ("classify", "enrich")]
    assert stages == ["classify", "enrich"]
    assert {"wait", "queue classify"} <= set(names[1])
    assert names[13].count("classify") == 2
    assert by_position[14].has_failed
    assert by_position[14].attributes["error.type"] == "Permanent"
    # The code of each attempt ran with its span as the current one.
    for result in results:
        if result.label is not None:
            ids = {span.name: span.id for span in traces[roots[result.item_id].trace]}
            assert result.label == ids["classify"]
            assert result.enrichment == {"enrich": {"span": ids["enrich"]}}
    calls = [span for span in receiver.spans if span.name == "process classify"]
    linked = {link for span in calls for link in span.links}
    attempts = {(span.trace, span.id) for span in receiver.spans if span.name == "classify"}
    assert linked == attempts
    assert receiver.services == {"pipeline"}


def test_a_small_batch_is_one_trace_with_its_caller(tmp_path: Path, receiver: SpanReceiver) -> None:
    run(tmp_path, make_items(3), rate=0.0, traceparent=CALLER)
    trace = receiver.traces()[CALLER.split("-")[1]]
    (submit,) = [span for span in trace if span.name == "submit test"]
    roots = [span for span in trace if span.name == "item test"]
    assert len(roots) == 3
    assert {root.parent for root in roots} == {submit.id}


def test_items_outside_of_the_sample_are_traced_if_they_die(tmp_path: Path, receiver: SpanReceiver) -> None:
    run(tmp_path, [*make_items(11), {"text": "x", "dies": True}], rate=0.0)
    (root,) = [span for span in receiver.spans if span.name == "item test"]
    assert root.has_failed
    assert_whole(receiver.traces()[root.trace], root)
    assert not [span for span in receiver.spans if span.name.startswith("process")]


def test_a_replay_is_another_trace(tmp_path: Path, receiver: SpanReceiver) -> None:
    with connect(tmp_path, trace_items=1.0) as client:
        items = [*make_items(10), {"text": "x", "dies": True}]
        batch = client.submit(items, make_definition(tmp_path, STEPS))
        batch.wait()
        batch.replay_dead()
        batch.wait()
    tracing.flush()
    dead = [span for span in receiver.spans if span.name == "item test" and span.has_failed]
    assert len({span.trace for span in dead}) == 2


def test_a_receiver_that_refuses_costs_spans_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with SpanReceiver(answer=413) as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        results = run(tmp_path, make_items(12))
    assert len(results) == 12
    assert receiver.spans == []


def test_without_an_endpoint_nothing_is_traced(tmp_path: Path, receiver: SpanReceiver, monkeypatch: Any) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    run(tmp_path, make_items(12), traceparent=CALLER)
    assert receiver.spans == []


def test_lines_about_attempts_name_their_spans(
    tmp_path: Path, receiver: SpanReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "attempts.log"
    monkeypatch.setattr(item_log, "open_target", lambda: os.open(path, os.O_WRONLY | os.O_CREAT))
    monkeypatch.setenv("PIPELINE_LOG_ITEMS", "all")
    monkeypatch.setenv("PIPELINE_LOG_FORMAT", "json")
    run(tmp_path, make_items(12))
    logged = {(line["trace_id"], line["span_id"]) for line in map(json.loads, path.read_text().splitlines())}
    assert logged == {(span.trace, span.id) for span in receiver.spans if span.name in ("classify", "enrich")}
