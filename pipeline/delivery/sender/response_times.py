"""Which endpoints have answered quickly lately."""

from __future__ import annotations

import time

#: An endpoint is quick if its quickest recent answer took less. The quickest, because the others also show how busy
#: this process is. At this pace, 64 slots make 3,200 requests a second: such an endpoint keeps no process waiting.
QUICK_SECONDS = 0.02
#: Successes after which an endpoint is judged, and judged again.
WINDOW = 32
#: Failures in a row, before which a failure is taken for one request's own.
FAILURES = 3
#: How long an endpoint is not quick after its queue was not sent in time, however quickly it answers.
DISTRUST_SECONDS = 10.0
#: Endpoints that are remembered.
MOST_ENDPOINTS = 4_096


class _Answers:
    """The last answers of one endpoint."""

    __slots__ = ("count", "distrusted_until", "failures", "judged", "quickest")

    def __init__(self, failures: int = 0, distrusted_until: float = 0.0) -> None:
        self.failures = failures
        self.distrusted_until = distrusted_until
        self.count = 0
        #: The quickest of this window, and of the one before.
        self.quickest = self.judged = float("inf")


class ResponseTimes:
    """The quickest answers of each endpoint. Written by the sender's thread, read by any."""

    def __init__(self) -> None:
        self._found: dict[str, _Answers] = {}

    def is_quick(self, origin: str) -> bool:
        """Return whether an endpoint answers quickly, and has not failed among its last `WINDOW` answers."""
        found = self._found.get(origin)
        return found is not None and found.judged < QUICK_SECONDS and found.distrusted_until <= time.monotonic()

    def succeed(self, origin: str, seconds: float) -> None:
        """Note a success that took so many seconds."""
        found = self._of(origin)
        found.failures = 0
        found.count += 1
        found.quickest = min(found.quickest, seconds)
        if found.count == WINDOW:
            found.count, found.judged, found.quickest = 0, found.quickest, float("inf")

    def fail(self, origin: str) -> bool:
        """Note a failure. Return whether the endpoint has failed too often in a row."""
        found = self._of(origin)
        failures = found.failures + 1
        self._found[origin] = _Answers(failures, found.distrusted_until)
        return failures >= FAILURES

    def distrust(self, origin: str) -> None:
        """Take an endpoint for slow for a while: this process cannot send to it as fast as it answers."""
        self._of(origin).distrusted_until = time.monotonic() + DISTRUST_SECONDS

    def _of(self, origin: str) -> _Answers:
        if origin not in self._found:
            if len(self._found) >= MOST_ENDPOINTS:
                self._found.clear()
            self._found[origin] = _Answers()
        return self._found[origin]
