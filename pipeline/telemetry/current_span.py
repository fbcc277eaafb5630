"""The spans of attempts that run in this process, by item. Empty unless traces are on and the item is sampled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext

from pipeline.telemetry.traceparent import TraceContext

_running: dict[str, TraceContext] = {}


def begin(spans: Mapping[str, TraceContext]) -> None:
    """Note the spans of attempts that begin, by item id."""
    _running.update(spans)


def end(item_id: str, span: TraceContext) -> None:
    """Forget the span of an attempt, unless another attempt at the item has begun."""
    if _running.get(item_id) == span:
        del _running[item_id]


def find(item_id: str) -> TraceContext | None:
    """Return the span of the attempt at an item; None if it is not traced."""
    return _running.get(item_id)


def using(item_id: str) -> AbstractContextManager[None]:
    """Return a block in which that span is OpenTelemetry's current one."""
    span = _running.get(item_id)
    return nullcontext() if span is None else _attached(span)


@contextmanager
def _attached(span: TraceContext) -> Iterator[None]:
    # Imported here: only processes that send traces have it.
    from opentelemetry import context, trace

    given = trace.SpanContext(
        span.trace_id, span.span_id, is_remote=False, trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED)
    )
    token = context.attach(trace.set_span_in_context(trace.NonRecordingSpan(given)))
    try:
        yield
    finally:
        context.detach(token)
