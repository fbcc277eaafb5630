"""One line in the log for each request, without anything secret: no query, header or body."""

from __future__ import annotations

import time
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.domain.api_key import PREFIX
from pipeline.log import get_logger

log = get_logger(__name__)

#: Asked every few seconds by whatever keeps this server running.
_PROBES = frozenset({"/health", "/ready"})
_MAX_PATH_LENGTH = 200
#: What keys of the API and tokens of streams begin with.
_SECRETS = (PREFIX, "pipes_")


class RequestLog:
    """Logs each request when it has been answered, however that ends. Nothing is raised beyond it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = _Noted(send)
        started = time.monotonic()
        scope.setdefault("state", {})
        try:
            await self._app(scope, receive, answer.send)
        except ClientDisconnect:
            # Whoever reads the body raises it.
            pass
        except Exception:
            # Answered and logged by the application. What was begun is cut off by the protocol.
            answer.has_failed = True
        finally:
            _write(scope, answer, time.monotonic() - started)


class _Noted:
    """What is sent."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status: int | None = None
        self.sent_bytes = 0
        self.has_failed = False

    async def send(self, message: Message) -> None:
        await self._send(message)
        match message["type"]:
            case "http.response.start" | "websocket.http.response.start":
                self.status = message["status"]
            case "websocket.accept":
                self.status = 101
            case "websocket.close" if self.status is None:
                self.status = 403
            case "http.response.body":
                self.sent_bytes += len(message.get("body", b""))
            case "websocket.send":
                self.sent_bytes += len(message.get("text") or message.get("bytes") or "")


def _write(scope: Scope, answer: _Noted, seconds: float) -> None:
    if scope["path"] in _PROBES and answer.status == 200:
        return
    state: dict[str, Any] = scope["state"]
    client = scope["client"]
    log.info(
        "api_request",
        method=scope.get("method", "WEBSOCKET"),
        path=_printable(scope["path"]),
        operation=state.get("operation"),
        status=answer.status,
        is_complete=not answer.has_failed,
        milliseconds=round(seconds * 1000, 1),
        sent_bytes=answer.sent_bytes,
        key=state.get("key_id"),
        client=client[0] if client else None,
        request_id=state.get("request_id"),
    )


def _printable(path: str) -> str:
    """Return a path for the log: somebody may have put a secret into it."""
    words = path[:_MAX_PATH_LENGTH].split("/")
    return "/".join("…" if any(secret in word for secret in _SECRETS) else word for word in words)
