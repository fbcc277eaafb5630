"""Whether this process sends traces, and the queue from which it does. Off: nothing of OpenTelemetry is imported."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Mapping, Sequence
from importlib.util import find_spec

from pipeline.errors import InvalidSettings
from pipeline.log import get_logger
from pipeline.telemetry.dropping_queue import DroppingQueue
from pipeline.telemetry.families import SPANS_DROPPED
from pipeline.telemetry.meter import process_meter
from pipeline.telemetry.spans import FinishedSpan

log = get_logger(__name__)

#: Spans that wait at most.
MAX_WAITING = 4_096
#: How long a stop waits for the last spans to be sent.
FLUSH_SECONDS = 5.0
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL = "http/protobuf"


def is_tracing(environment: Mapping[str, str] | None = None) -> bool:
    """Return whether traces are sent: an endpoint for them is set, and OpenTelemetry is not disabled.

    Raises:
        InvalidSettings: they are to be sent in a way that is not supported.
    """
    environment = os.environ if environment is None else environment
    is_disabled = environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if is_disabled or not any(environment.get(name, "").strip() for name in _ENDPOINTS):
        return False
    protocol = next((found for name in _PROTOCOLS if (found := environment.get(name, "").strip())), _PROTOCOL)
    if protocol == "grpc":
        raise InvalidSettings("OTLP over gRPC is not supported; set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf")
    if protocol != _PROTOCOL:
        raise InvalidSettings(
            f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol!r}; only http/protobuf is supported, which is the default"
        )
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.exporter.otlp.proto.http") is None:
        raise InvalidSettings(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, but what sends traces is not installed; install pipeline[otel], or "
            "set OTEL_SDK_DISABLED=true"
        )
    return True


class SpanQueue:
    """Sends spans on its own thread. Make it after any fork."""

    def __init__(self) -> None:
        # Imported here: half a second and 14 MiB.
        from pipeline.telemetry.otlp import SpanExport

        self._export = SpanExport()
        self._queue = DroppingQueue("pipeline-spans", MAX_WAITING, self._send, report_dropped)

    @property
    def dropped(self) -> int:
        """Spans dropped so far."""
        return self._queue.dropped

    def put(self, spans: Sequence[FinishedSpan]) -> None:
        """Send spans soon. Never waits."""
        self._queue.put(spans)

    def close(self, timeout: float) -> None:
        """Send what waits, within `timeout` seconds."""
        self._queue.close(timeout)

    def _send(self, spans: Sequence[FinishedSpan]) -> None:
        self._export.send(spans)


def report_dropped(dropped: int) -> None:
    """Count and log how many spans were dropped."""
    process_meter().add(SPANS_DROPPED, (), dropped)
    log.warning("spans_dropped", spans=dropped)


_lock = threading.Lock()
#: By process: a child of a fork makes its own.
_queues: dict[int, SpanQueue] = {}


def put(spans: Sequence[FinishedSpan]) -> None:
    """Send spans from this process, soon. Never waits. Call it only where traces are on."""
    with _lock:
        queue = _queues.get(os.getpid())
        if queue is None:
            queue = _queues[os.getpid()] = SpanQueue()
            atexit.register(flush)
    queue.put(spans)


def flush(timeout: float = FLUSH_SECONDS) -> None:
    """Send the spans that wait in this process. Later ones get a new queue."""
    with _lock:
        queue = _queues.pop(os.getpid(), None)
    if queue is not None:
        queue.close(timeout)
