from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.backoff import Backoff
from pipeline.domain.outcome import MAX_SNOOZES, Failure, FailureKind, GiveUp, RetryAfter, decide

BACKOFF = Backoff(base=timedelta(seconds=2), cap=timedelta(seconds=60))


@given(attempt=st.integers(1, 10_000))
def test_a_delay_is_within_zero_and_the_doubling_ceiling(attempt: int) -> None:
    delay = BACKOFF.after(attempt)
    assert timedelta(0) <= delay <= BACKOFF.ceiling(attempt) <= BACKOFF.cap


def test_the_ceiling_doubles_until_the_cap() -> None:
    assert [BACKOFF.ceiling(attempt).total_seconds() for attempt in range(1, 8)] == [2, 4, 8, 16, 32, 60, 60]


def test_jitter_is_full_delays_fill_the_whole_range() -> None:
    delays = [BACKOFF.after(3).total_seconds() for _ in range(4_000)]
    assert min(delays) < 0.2
    assert max(delays) > 7.8
    assert 3.7 < sum(delays) / len(delays) < 4.3


@given(asked=st.floats(0, 86_400), attempt=st.integers(1, 20))
def test_retry_after_is_never_shortened(asked: float, attempt: int) -> None:
    assert BACKOFF.after(attempt, retry_after=asked) >= timedelta(seconds=asked)


def failure(kind: FailureKind, retry_after: float | None = None) -> Failure:
    return Failure(kind, "Type", "message", retry_after)


def test_the_last_attempt_that_fails_is_the_end() -> None:
    decisions = [
        decide(failure(FailureKind.TRANSIENT), attempt=attempt, snoozes=0, max_attempts=3, backoff=BACKOFF)
        for attempt in (1, 2, 3)
    ]
    assert [type(decision) for decision in decisions] == [RetryAfter, RetryAfter, GiveUp]


def test_a_permanent_failure_is_the_end_at_once() -> None:
    end = decide(failure(FailureKind.PERMANENT), attempt=1, snoozes=0, max_attempts=9, backoff=BACKOFF)
    assert end == GiveUp()


def test_throttling_counts_no_attempt_but_not_for_ever() -> None:
    def throttled(snoozes: int) -> RetryAfter | GiveUp:
        return decide(failure(FailureKind.THROTTLED, 7), attempt=9, snoozes=snoozes, max_attempts=3, backoff=BACKOFF)

    put_off = throttled(0)
    assert isinstance(put_off, RetryAfter)
    assert put_off.counts is False
    assert put_off.delay >= timedelta(seconds=7)
    assert throttled(MAX_SNOOZES) == GiveUp()


def test_a_message_is_stored_without_what_databases_refuse() -> None:
    assert Failure(FailureKind.TRANSIENT, "T", "a\x00b\ud800c" + "x" * 1_000).message.startswith("ab?cxxx")
    assert len(Failure(FailureKind.TRANSIENT, "T", "x" * 1_000).message) == 500
