"""A receiver of traces: decodes what is exported by OTLP over HTTP."""

from __future__ import annotations

import gzip
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class ReceivedSpan:
    """A span as it came in; ids are hexadecimal."""

    name: str
    trace: str
    id: str
    parent: str
    start: int
    end: int
    kind: int
    attributes: dict[str, Any] = field(default_factory=dict)
    links: list[tuple[str, str]] = field(default_factory=list)
    has_failed: bool = False


class SpanReceiver:
    """Listens on a free port of this machine; `answer` is the status of every answer."""

    def __init__(self, answer: int = 200) -> None:
        self.spans: list[ReceivedSpan] = []
        self.services: set[str] = set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                if answer == 200:
                    receiver._take(ExportTraceServiceRequest.FromString(body))
                self.send_response(answer)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def _take(self, request: ExportTraceServiceRequest) -> None:
        for of_resource in request.resource_spans:
            self.services.update(
                each.value.string_value for each in of_resource.resource.attributes if each.key == "service.name"
            )
            for scope in of_resource.scope_spans:
                self.spans += [_received(span) for span in scope.spans]

    def traces(self) -> dict[str, list[ReceivedSpan]]:
        """Return the spans by trace, by start."""
        found: dict[str, list[ReceivedSpan]] = defaultdict(list)
        for span in sorted(self.spans, key=lambda span: (span.start, span.end)):
            found[span.trace].append(span)
        return found

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def _received(span: Any) -> ReceivedSpan:
    attributes = {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}
    links = [(link.trace_id.hex(), link.span_id.hex()) for link in span.links]
    return ReceivedSpan(
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        span.kind,
        attributes,
        links,
        span.status.code == 2,
    )
