"""The breaker of an enricher: while its service refuses everybody, items wait instead of failing.

It opens when most of the latest calls have failed as a service fails, see `outage`. Calls that fail then, and those
that have not begun, make their items wait, and no attempt is counted. A probe, one call, closes it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline.domain.item import WorkItem
from pipeline.stages.catalog.step import Mode, Step
from pipeline.stages.run.failure import StepWaits
from pipeline.stages.run.outage import is_outage

#: Calls that are looked at, and how many of them have to fail.
WINDOW, FAILURES = 25, 20
#: Seconds until a probe: the first, and the longest after several that failed.
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 30.0


def pause_after(probes: int) -> float:
    """Return the seconds until the next probe, after so many that have failed."""
    return min(FIRST_PAUSE * float(2**probes), LONGEST_PAUSE)


@dataclass(frozen=True, slots=True)
class BreakerOpening:
    """Why a breaker opened.

    Args:
        failures: of the latest `calls`.
        error: the message of the last one.
    """

    failures: int
    calls: int
    error: str


class StepBreaker:
    """Lets the calls of one step through, or makes their items wait. Thread-safe.

    Args:
        on_change: called when it opens or closes by what a call has answered.
    """

    def __init__(self, step: str, on_change: Callable[[StepBreaker], None] = lambda _: None) -> None:
        self.step = step
        self.opening: BreakerOpening | None = None
        self._on_change = on_change
        self._recent: deque[bool] = deque(maxlen=WINDOW)
        self._lock = threading.Lock()
        self._until = 0.0
        #: Probes since it opened.
        self.probes = 0
        #: The id of the item whose call finds out whether the service works again.
        self._probe: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether items wait."""
        return self.opening is not None

    def seconds_left(self) -> float:
        """Return the seconds until the next probe."""
        return max(self._until - time.monotonic(), 0.0)

    def open(self, opening: BreakerOpening, seconds: float, probes: int) -> None:
        """Make items wait, for so many seconds until the next probe: another process has found the service down."""
        with self._lock:
            self.opening, self._until, self.probes = opening, time.monotonic() + seconds, probes

    def close(self) -> None:
        """Let calls through: the service works again."""
        with self._lock:
            self._close()

    def allow_probe(self, item_id: str, seconds: float) -> None:
        """Let the call of one item through, and wait so many seconds for the next probe should it fail."""
        with self._lock:
            self._probe, self._until = item_id, time.monotonic() + seconds
            self.probes += 1

    def waits(self) -> StepWaits | None:
        """Return the error with which an item waits for this step; None: it need not."""
        opening = self.opening
        if opening is None:
            return None
        reason = f"waits until its service works again; {opening.failures} of {opening.calls} calls failed: "
        return StepWaits(f"{reason}{opening.error}", retry_after=self.seconds_left())

    def check(self, items: Sequence[WorkItem]) -> None:
        """Raise `StepWaits` if these items have to wait."""
        if self.opening is None or (len(items) == 1 and items[0].item_id == self._probe):
            return
        error = self.waits()
        if error is not None:
            raise error

    def succeeded(self) -> None:
        """Note that a call was answered, even if its item failed."""
        # Without a lock, since a healthy step does nothing else.
        self._recent.append(False)
        if self._probe is not None:
            with self._lock:
                has_closed = self.opening is not None and self._probe is not None
                self._close()
            if has_closed:
                self._on_change(self)

    def failed(self, error: BaseException) -> StepWaits | None:
        """Note that a call failed as a service fails. Return the error that its items get instead, if it is open."""
        has_opened = False
        with self._lock:
            self._recent.append(True)
            failures = sum(self._recent)
            if self.opening is None and failures >= FAILURES:
                self.opening = BreakerOpening(failures, len(self._recent), str(error) or type(error).__name__)
                self._until = time.monotonic() + pause_after(0)
                has_opened = True
            self._probe = None
        if has_opened:
            self._on_change(self)
        return self.waits()

    def _close(self) -> None:
        self.opening, self._probe, self.probes = None, None, 0
        self._recent.clear()


class BreakingCall:
    """The callable of a step behind its breaker."""

    def __init__(self, step: Step, breaker: StepBreaker) -> None:
        self._call = step.call
        self._is_batched = step.is_batched
        self._breaker = breaker

    def __getattr__(self, name: str) -> Any:
        # Such as `aclose`, which an event loop calls at its end.
        return getattr(self._call, name)

    def __call__(self, argument: Any) -> Any:
        """Call the step, unless its items have to wait."""
        self._breaker.check(argument if self._is_batched else (argument,))
        try:
            answer = self._call(argument)
        except Exception as error:
            raise self._error_of(error) from error
        return self._read(answer)

    def _error_of(self, error: Exception) -> Exception:
        if is_outage(error):
            return self._breaker.failed(error) or error
        self._breaker.succeeded()
        return error

    def _read(self, answer: Any) -> Any:
        """Return the answer, with errors of the service among those of a list replaced while items wait."""
        if not self._is_batched or not isinstance(answer, list | tuple):
            self._breaker.succeeded()
            return answer
        outages = [each for each in answer if isinstance(each, BaseException) and is_outage(each)]
        if not outages or len(outages) < len(answer):
            self._breaker.succeeded()
            return answer
        waits = self._breaker.failed(outages[-1])
        return answer if waits is None else [waits] * len(answer)


class AsyncBreakingCall(BreakingCall):
    """The same for a step that runs on the event loop."""

    async def __call__(self, argument: Any) -> Any:
        """Call the step, unless its items have to wait."""
        self._breaker.check(argument if self._is_batched else (argument,))
        try:
            answer = await self._call(argument)
        except Exception as error:
            raise self._error_of(error) from error
        return self._read(answer)


def with_breaker(step: Step, breaker: StepBreaker) -> Step:
    """Return a step whose calls go through a breaker. Built-in steps that run inline ask no service."""
    if step.mode is Mode.INLINE:
        return step
    kind = AsyncBreakingCall if step.mode is Mode.ASYNC else BreakingCall
    return replace(step, call=kind(step, breaker))
