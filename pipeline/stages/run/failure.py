"""Turns exceptions of user code into failures of items."""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Real

from pipeline.domain.outcome import Failure, FailureKind
from pipeline.errors import Permanent, StageError, Throttled, Transient

#: Longest wait that `Throttled` may request, in seconds: one day.
MAX_RETRY_AFTER = 86_400.0

_SEVERITY = {FailureKind.THROTTLED: 0, FailureKind.TRANSIENT: 1, FailureKind.PERMANENT: 2}


class CallTimeout(Transient):
    """A call exceeded its timeout; recorded as `timeout`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"took longer than {seconds:g} s")


class WrongLength(Permanent):
    """A list call did not return one answer per item; recorded as `wrong_length`."""


class StepWaits(Throttled):
    """The service behind an enricher refuses everybody; recorded as `step_waits`."""


_CODES: dict[type[BaseException], str] = {CallTimeout: "timeout", WrongLength: "wrong_length", StepWaits: "step_waits"}


def from_exception(error: BaseException) -> Failure:
    """Return the failure for an exception; exceptions that are not from `pipeline.errors` are transient."""
    return Failure(
        kind=_kind(error),
        type=_CODES.get(type(error), type(error).__name__),
        message=_message(error),
        retry_after=_valid_wait(error.retry_after) if isinstance(error, Throttled) else None,
        answer=_answer(error),
        is_waiting=isinstance(error, StepWaits),
    )


def most_severe(failures: Iterable[Failure]) -> Failure:
    """Return the most severe failure: permanent, then transient, then the longest throttled; of equals, the first."""
    return max(failures, key=lambda failure: (_SEVERITY[failure.kind], failure.retry_after or 0.0))


def _kind(error: BaseException) -> FailureKind:
    if isinstance(error, Permanent):
        return FailureKind.PERMANENT
    if isinstance(error, Throttled):
        return FailureKind.THROTTLED
    return FailureKind.TRANSIENT


def _message(error: BaseException) -> str:
    try:
        return str(error) or type(error).__name__
    except Exception:
        # A broken __str__ must not hide the failure itself.
        return type(error).__name__


def _answer(error: BaseException) -> str | None:
    # User code may set anything.
    return error.answer if isinstance(error, StageError) and isinstance(error.answer, str) else None


def _valid_wait(seconds: object) -> float | None:
    """Return `seconds` as a valid wait, or None; user code may pass anything, such as the text of a header."""
    if isinstance(seconds, bool) or not isinstance(seconds, Real) or math.isnan(seconds):
        return None
    return min(max(float(seconds), 0.0), MAX_RETRY_AFTER)
