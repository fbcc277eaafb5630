"""Sends spans by OTLP over HTTP. The one module that knows OpenTelemetry's SDK; imported only where traces are on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from pipeline.telemetry.spans import FinishedSpan
from pipeline.version import installed_version

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_SERVICE = "service.name"
#: What the SDK calls a service that nobody has named.
_UNNAMED = "unknown_service"


class SpanExport:
    """Sends groups of spans. Each call waits for the receiver's answer; the SDK's settings are those of its variables.

    OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say what sends them; by default the service is `pipeline`.
    """

    def __init__(self) -> None:
        self._exporter = OTLPSpanExporter()
        resource = Resource.create()
        if str(resource.attributes.get(_SERVICE, _UNNAMED)).startswith(_UNNAMED):
            resource = resource.merge(Resource({_SERVICE: "pipeline"}))
        self._resource = resource
        self._scope = InstrumentationScope("pipeline", installed_version())
        # It would log each failed attempt; what is dropped is counted and reported once a minute.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)

    def send(self, spans: Sequence[FinishedSpan]) -> None:
        """Send spans.

        Raises:
            ConnectionError: the receiver did not take them.
        """
        if self._exporter.export([self._readable(span) for span in spans]) is not SpanExportResult.SUCCESS:
            raise ConnectionError("the receiver of traces did not take them")

    def _readable(self, span: FinishedSpan) -> ReadableSpan:
        return ReadableSpan(
            name=span.name,
            context=_context(span.trace_id, span.span_id),
            parent=None if span.parent_id is None else _context(span.trace_id, span.parent_id),
            resource=self._resource,
            attributes=span.attributes,
            links=[Link(_context(link.trace_id, link.span_id)) for link in span.links],
            kind=SpanKind[span.role.value],
            status=Status(StatusCode.ERROR if span.has_failed else StatusCode.UNSET),
            start_time=_nanoseconds(span.start),
            end_time=max(_nanoseconds(span.start), _nanoseconds(span.end)),
            instrumentation_scope=self._scope,
        )


def _context(trace_id: int, span_id: int) -> SpanContext:
    return SpanContext(trace_id, span_id, is_remote=False, trace_flags=_SAMPLED)


def _nanoseconds(time: datetime) -> int:
    return round(time.timestamp() * 1_000_000) * 1_000
