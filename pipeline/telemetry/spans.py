"""Spans, as they are before anything of OpenTelemetry is imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from pipeline.telemetry.traceparent import TraceContext

#: The names that OpenTelemetry still calls in development, in this one place.
MESSAGING_SYSTEM = "messaging.system"
MESSAGING_DESTINATION = "messaging.destination.name"
MESSAGING_COUNT = "messaging.batch.message_count"
#: Stable names.
ERROR_TYPE = "error.type"
HTTP_METHOD = "http.request.method"
HTTP_STATUS = "http.response.status_code"
SERVER_ADDRESS = "server.address"


class SpanRole(StrEnum):
    """The kind of a span, as OpenTelemetry names it."""

    INTERNAL = "INTERNAL"
    PRODUCER = "PRODUCER"
    CONSUMER = "CONSUMER"
    CLIENT = "CLIENT"


@dataclass(frozen=True, slots=True)
class FinishedSpan:
    """Something that has happened.

    Args:
        parent_id: None: it is the root of its trace.
        end: not before `start`; a clock that was set back makes it the same.
    """

    name: str
    trace_id: int
    span_id: int
    parent_id: int | None
    start: datetime
    end: datetime
    role: SpanRole = SpanRole.INTERNAL
    attributes: Mapping[str, str | int] = field(default_factory=dict)
    links: Sequence[TraceContext] = ()
    has_failed: bool = False
