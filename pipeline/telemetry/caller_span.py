"""The span of whoever submits a batch."""

from __future__ import annotations

import sys

from pipeline.log import get_logger
from pipeline.telemetry.traceparent import TraceContext, parse_traceparent

log = get_logger(__name__)


def read_traceparent(given: str | None) -> TraceContext | None:
    """Return the span that a `traceparent` names. A wrong one is ignored, with a warning."""
    if given is None:
        return None
    found = parse_traceparent(given)
    if found is None:
        log.warning("traceparent_ignored", reason="it is not a traceparent of version 00")
    return found


def current_traceparent() -> str | None:
    """Return OpenTelemetry's current span, if this process uses OpenTelemetry."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    span = trace.get_current_span().get_span_context()
    if not span.is_valid:
        return None
    return str(TraceContext(span.trace_id, span.span_id, bool(span.trace_flags & 1)))
