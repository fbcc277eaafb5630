"""Judge the pace of a client: of a request's head, of a body, of what is dropped, of what is sent to it.

Pure rules: times come in as arguments, in seconds of a monotonic clock.
"""

from __future__ import annotations

from pipeline.http_api.problems import Problem
from pipeline.http_api.server.limits import ServerLimits

#: `: `, and the end of the line.
_HEADER_OVERHEAD = 4


class RequestHead:
    """Size of the request line and the headers that have been read. Each method returns what is wrong with them."""

    def __init__(self, limits: ServerLimits) -> None:
        self._limits = limits
        self._url_bytes = self._header_bytes = self._headers = self._hosts = 0

    def add_url(self, size: int) -> Problem | None:
        """Count a piece of the path and query."""
        self._url_bytes += size
        if self._url_bytes <= self._limits.request_line_bytes:
            return None
        return Problem("uri_too_long", f"the path and query have more than {self._limits.request_line_bytes:,} bytes")

    def add_header(self, name: bytes, value: bytes) -> Problem | None:
        """Count a header."""
        self._headers += 1
        self._header_bytes += len(name) + len(value) + _HEADER_OVERHEAD
        self._hosts += name.lower() == b"host"
        limits = self._limits
        if self._headers > limits.header_count or self._header_bytes > limits.header_bytes:
            return headers_too_large(limits)
        return None

    def check_host(self, http_version: str) -> Problem | None:
        """Check that there is one header `Host`; HTTP/1.0 needs none."""
        if self._hosts == 1 or (self._hosts == 0 and http_version == "1.0"):
            return None
        return Problem("bad_request", f"the request has {self._hosts} headers Host; HTTP requires exactly one")


class BodyPace:
    """How fast a body arrives."""

    def __init__(self, limits: ServerLimits, now: float) -> None:
        self._limits = limits
        self._last_at = self._window_from = now
        self._window_bytes = 0
        self._windows = 0

    def add(self, size: int, now: float) -> None:
        """Count a piece of the body."""
        self._window_bytes += size
        self._last_at = now

    def pause(self, now: float) -> None:
        """Leave out the time up to now: the server did not read."""
        self._window_from += now - max(self._last_at, self._window_from)
        self._last_at = now

    def is_too_slow(self, now: float) -> bool:
        """Return whether the client is silent for too long, or trickles."""
        limits = self._limits
        if now - self._last_at >= limits.body_gap_seconds:
            return True
        if now - self._window_from < limits.body_minute_seconds:
            return False
        is_slow = self._windows > 0 and self._window_bytes < limits.body_minute_bytes
        self._windows += 1
        self._window_from, self._window_bytes = now, 0
        return is_slow


class DroppedBody:
    """What is left of a body whose request has been answered."""

    def __init__(self, limits: ServerLimits, now: float) -> None:
        self._left = limits.drop_bytes
        self._until = now + limits.drop_seconds

    def add(self, size: int) -> None:
        """Count a piece that was dropped."""
        self._left -= size

    @property
    def is_full(self) -> bool:
        """Whether the client has sent all that is read for its sake."""
        return self._left < 0

    def is_over(self, now: float) -> bool:
        """Return whether the client has had its time to take the answer."""
        return now >= self._until


class SendPace:
    """Whether a client takes what is sent to it."""

    def __init__(self, limits: ServerLimits) -> None:
        self._seconds = limits.send_seconds
        self._since: float | None = None
        self._taken = -1

    def is_stalled(self, *, waiting: int, taken: int, now: float) -> bool:
        """Return whether it has taken nothing for too long.

        Args:
            waiting: bytes that the operating system does not take, since the client does not.
            taken: differs from that of the last look if the client took something meanwhile.
        """
        if not waiting:
            self._since = None
        elif self._since is None or taken != self._taken:
            self._since, self._taken = now, taken
        return self._since is not None and now - self._since >= self._seconds


def headers_too_large(limits: ServerLimits) -> Problem:
    """Return the problem of headers that are too many or too long."""
    return Problem(
        "headers_too_large",
        f"the request has more than {limits.header_count} headers, or more than {limits.header_bytes:,} bytes of them",
    )
