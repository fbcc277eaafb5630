"""The delay between attempts, and when to give up."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.backoff import Backoff
from pipeline.domain.outcome import MAX_SNOOZES, Failure, FailureKind, GiveUp, RetryAfter, decide_retry

BACKOFF = Backoff(base=timedelta(seconds=2), cap=timedelta(seconds=60))


@given(attempt=st.integers(1, 10_000))
def test_a_delay_is_between_zero_and_the_ceiling(attempt: int) -> None:
    delay = BACKOFF.delay_after(attempt)
    assert timedelta(0) <= delay <= BACKOFF.ceiling(attempt) <= BACKOFF.cap


def test_the_ceiling_doubles_up_to_the_cap() -> None:
    assert [BACKOFF.ceiling(attempt).total_seconds() for attempt in range(1, 8)] == [2, 4, 8, 16, 32, 60, 60]


def test_full_jitter_spreads_delays_over_the_whole_range() -> None:
    delays = [BACKOFF.delay_after(3).total_seconds() for _ in range(4_000)]
    assert min(delays) < 0.2
    assert max(delays) > 7.8
    assert 3.7 < sum(delays) / len(delays) < 4.3


@given(retry_after=st.floats(0, 86_400), attempt=st.integers(1, 20))
def test_retry_after_is_never_shortened(retry_after: float, attempt: int) -> None:
    assert BACKOFF.delay_after(attempt, retry_after=retry_after) >= timedelta(seconds=retry_after)


def failure(kind: FailureKind, retry_after: float | None = None) -> Failure:
    return Failure(kind, "Type", "message", retry_after)


def test_failing_the_last_attempt_gives_up() -> None:
    decisions = [
        decide_retry(failure(FailureKind.TRANSIENT), attempt=attempt, snoozes=0, max_attempts=3, backoff=BACKOFF)
        for attempt in (1, 2, 3)
    ]
    assert [type(decision) for decision in decisions] == [RetryAfter, RetryAfter, GiveUp]


def test_a_permanent_failure_gives_up_at_once() -> None:
    decision = decide_retry(failure(FailureKind.PERMANENT), attempt=1, snoozes=0, max_attempts=9, backoff=BACKOFF)
    assert decision == GiveUp()


def test_throttling_uses_no_attempt_until_the_snooze_limit() -> None:
    def decide(snoozes: int) -> RetryAfter | GiveUp:
        throttled = failure(FailureKind.THROTTLED, 7)
        return decide_retry(throttled, attempt=9, snoozes=snoozes, max_attempts=3, backoff=BACKOFF)

    snooze = decide(0)
    assert isinstance(snooze, RetryAfter)
    assert snooze.counts_attempt is False
    assert snooze.delay >= timedelta(seconds=7)
    assert decide(MAX_SNOOZES) == GiveUp()


def test_a_message_is_stripped_of_characters_that_databases_reject() -> None:
    assert Failure(FailureKind.TRANSIENT, "T", "a\x00b\ud800c" + "x" * 1_000).message.startswith("ab?cxxx")
    assert len(Failure(FailureKind.TRANSIENT, "T", "x" * 1_000).message) == 500
