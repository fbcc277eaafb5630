"""The outcome table: what follows from each answer; the schedule; what `Retry-After` may say; how room is shared."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.delivery.rules.breaker import BreakerVerdict
from pipeline.delivery.rules.capacity import Capacity, share
from pipeline.delivery.rules.delivery import (
    Answer,
    AttemptOutcome,
    Decision,
    DeliveryState,
    DisabledReason,
    Owed,
    Sent,
    decide,
)
from pipeline.delivery.rules.failure_text import explain
from pipeline.delivery.rules.health import verdict
from pipeline.domain.retry_schedule import STANDARD_DELAYS, Schedule, parse_retry_after

NOW = datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)
SCHEDULE = Schedule(rng=random.Random(1))
RETRY = (DeliveryState.PENDING, AttemptOutcome.RETRY)
SNOOZED = (DeliveryState.PENDING, AttemptOutcome.SNOOZED)
DEAD = (DeliveryState.DEAD, AttemptOutcome.DEAD)
DELIVERED = (DeliveryState.DELIVERED, AttemptOutcome.SUCCEEDED)


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def decided(
    answer: Answer, *, attempt: int = 1, age: timedelta = timedelta(seconds=1), schedule: Schedule = SCHEDULE
) -> Decision:
    owed = Owed(1, "https://h/", "https://h:443", attempt, "msg_1", b"{}", NOW - age)
    return decide(Sent(owed, answer, NOW - seconds(1), NOW), schedule)


def what(decision: Decision) -> tuple[DeliveryState, AttemptOutcome]:
    return decision.state, decision.outcome


@pytest.mark.parametrize("status", [200, 201, 202, 204, 206, 226, 299])
def test_every_2xx_is_a_success(status: int) -> None:
    assert decided(Answer(status)) == Decision(*DELIVERED)


@pytest.mark.parametrize(
    "status", [101, 300, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 406, 408, 409, 413]
)
def test_redirects_and_refusals_are_tried_again_by_the_schedule(status: int) -> None:
    decision = decided(Answer(status))
    assert what(decision) == RETRY
    assert (decision.pause, decision.disable) == (None, None)
    assert decision.delay is not None
    assert seconds(5) <= decision.delay <= seconds(7)


@pytest.mark.parametrize("status", [414, 415, 422, 423, 425, 431, 451, 499, 500, 501, 503, 505, 507, 599, 600, 999])
def test_other_failures_are_tried_again_by_the_schedule(status: int) -> None:
    decision = decided(Answer(status))
    assert what(decision) == RETRY
    assert decision.pause is None


@pytest.mark.parametrize(
    "code",
    [
        *["connect_timeout", "connection_refused", "connection_reset", "network_unreachable", "dns_not_found"],
        *["dns_failure", "dns_timeout", "tls_verify", "tls_handshake", "protocol_error", "internal_error"],
    ],
)
def test_failures_before_an_answer_are_tried_again_by_the_schedule(code: str) -> None:
    decision = decided(Answer(error=code))
    assert what(decision) == RETRY
    assert decision.delay is not None
    assert decision.delay < seconds(60)


@pytest.mark.parametrize("answer", [Answer(502), Answer(504), Answer(error="timeout")])
def test_an_overloaded_receiver_is_left_alone_for_a_minute(answer: Answer) -> None:
    decision = decided(answer)
    assert (what(decision), decision.delay) == (RETRY, seconds(60))
    assert answer.is_overload


def test_410_disables_the_endpoint_and_ends_the_delivery() -> None:
    assert decided(Answer(410)) == Decision(*DEAD, disable=DisabledReason.GONE)


@pytest.mark.parametrize(("status", "state"), [(200, DELIVERED), (500, DEAD), (302, DEAD), (429, DEAD)])
def test_a_receiver_may_ask_to_be_disabled_on_any_answer(
    status: int, state: tuple[DeliveryState, AttemptOutcome]
) -> None:
    assert decided(Answer(status, control="disable")) == Decision(*state, disable=DisabledReason.RECEIVER_REQUEST)


@pytest.mark.parametrize(("status", "state"), [(200, DELIVERED), (500, DEAD), (429, DEAD)])
def test_a_receiver_may_abort_one_message(status: int, state: tuple[DeliveryState, AttemptOutcome]) -> None:
    assert decided(Answer(status, control="abort-message")) == Decision(*state)


def test_an_unknown_wish_of_a_receiver_changes_nothing() -> None:
    assert what(decided(Answer(500, control="explode"))) == RETRY


@pytest.mark.parametrize(
    ("answer", "pause"),
    [
        (Answer(429), 60),
        (Answer(429, retry_after="120"), 120),
        (Answer(429, retry_after="0"), 1),
        (Answer(429, retry_after="Thu, 01 Jan 1970 00:00:00 GMT"), 1),
        (Answer(429, retry_after="soon"), 60),
        (Answer(503, retry_after="120"), 120),
        (Answer(503, retry_after="999999999"), 86_400),
    ],
)
def test_a_throttling_endpoint_is_paused_and_no_attempt_is_counted(answer: Answer, pause: float) -> None:
    decision = decided(answer)
    assert (what(decision), decision.pause) == (SNOOZED, seconds(pause))
    assert decision.delay is not None
    assert decision.delay >= seconds(max(5, pause))


@pytest.mark.parametrize("asked", ["0", "Thu, 01 Jan 1970 00:00:00 GMT"])
def test_503_that_asks_for_no_time_is_a_failure_that_counts(asked: str) -> None:
    decision = decided(Answer(503, retry_after=asked))
    assert (what(decision), decision.pause) == (RETRY, None)
    assert verdict(Answer(503, retry_after=asked), decision) is BreakerVerdict.FAILED


@pytest.mark.parametrize("status", [500, 404])
def test_retry_after_on_another_failure_moves_only_its_own_delivery(status: int) -> None:
    decision = decided(Answer(status, retry_after="120"))
    assert (what(decision), decision.delay, decision.pause) == (RETRY, seconds(120), None)


def test_retry_after_never_shortens_the_schedule() -> None:
    decision = decided(Answer(429, retry_after="1"), attempt=6)
    assert decision.delay is not None
    assert decision.delay >= timedelta(hours=2)


def test_a_throttled_delivery_is_never_exhausted_only_too_old() -> None:
    assert what(decided(Answer(429), attempt=12)) == SNOOZED
    assert what(decided(Answer(429), attempt=1, age=timedelta(days=4))) == DEAD


def test_a_refused_address_is_tried_four_times() -> None:
    ends = [what(decided(Answer(error="ssrf_blocked"), attempt=attempt)) for attempt in range(1, 5)]
    assert ends == [RETRY, RETRY, RETRY, DEAD]


def test_a_url_that_cannot_be_used_is_not_tried_again() -> None:
    assert decided(Answer(error="config_error")) == Decision(*DEAD)


def test_the_twelfth_failure_is_the_last() -> None:
    ends = [what(decided(Answer(500), attempt=attempt)) for attempt in range(1, 13)]
    assert ends == [RETRY] * 11 + [DEAD]
    assert sum(STANDARD_DELAYS, timedelta()) == timedelta(hours=75, minutes=42, seconds=35)


def test_nothing_is_tried_beyond_the_horizon() -> None:
    assert what(decided(Answer(500), attempt=11, age=timedelta(days=2, hours=23))) == RETRY
    assert what(decided(Answer(500), attempt=11, age=timedelta(days=3, hours=1))) == DEAD
    assert what(decided(Answer(500), attempt=1, age=timedelta(days=4))) == DEAD


def test_asked_to_wait_beyond_the_horizon_the_last_attempt_is_made_at_the_horizon() -> None:
    decision = decided(Answer(429, retry_after="86400"), age=timedelta(days=4) - timedelta(hours=1))
    assert (what(decision), decision.delay) == (SNOOZED, timedelta(hours=1))
    # The endpoint's other deliveries may be younger.
    assert decision.pause == timedelta(days=1)


ANSWERS = st.builds(
    Answer,
    status=st.integers(100, 999),
    retry_after=st.none() | st.text(max_size=30) | st.integers(-5, 10**12).map(str),
    control=st.none() | st.sampled_from(["disable", "abort-message", "x"]),
)


@given(ANSWERS, st.integers(1, 20), st.integers(0, 5 * 86_400))
def test_every_answer_has_one_outcome_and_no_retry_is_beyond_the_horizon(
    answer: Answer, attempt: int, age: int
) -> None:
    decision = decided(answer, attempt=attempt, age=seconds(age))
    assert what(decision) in (DELIVERED, RETRY, SNOOZED, DEAD)
    assert (decision.state is DeliveryState.PENDING) == (decision.delay is not None)
    if decision.delay is not None:
        assert decision.delay + seconds(age) <= SCHEDULE.horizon
    assert (explain(answer) is None) == answer.is_success


def test_jitter_only_adds_and_is_bounded() -> None:
    schedule = Schedule(rng=random.Random(7))
    for attempt, base in enumerate(STANDARD_DELAYS, 1):
        delays = [schedule.delay_after(attempt) for _ in range(10_000)]
        extra = min(max(base * 0.2, seconds(2)), timedelta(minutes=15))
        assert base <= min(delays)
        assert max(delays) <= base + extra
        assert len(set(delays)) > 1_000
        if timedelta(minutes=1) <= base <= timedelta(hours=1):
            assert sum(delays, timedelta()) / len(delays) / base == pytest.approx(1.1, rel=0.02)


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("0", 0),
        ("120", 120),
        (" 120 ", 120),
        ("1.2", 2),
        ("9" * 400, 86_400),
        ("Sun, 06 Nov 1994 08:50:37 GMT", 60),
        ("Sunday, 06-Nov-94 08:50:37 GMT", 60),
        ("Sun Nov  6 08:50:37 1994", 60),
        ("Sun, 06 Nov 1994 08:49:36 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400),
    ],
)
def test_retry_after_is_read_in_every_form_http_knows(text: str, asked: float) -> None:
    assert parse_retry_after(text, NOW) == seconds(asked)


@pytest.mark.parametrize(
    "text", [None, "", "-1", "soon", "1e3", "NaN", "inf", "1.2.3", "٣", "Sun, 99 Nov 1994", "\x00"]
)
def test_a_retry_after_that_says_nothing_is_ignored(text: str | None) -> None:
    assert parse_retry_after(text, NOW) is None


@given(st.text())
def test_no_retry_after_raises(text: str) -> None:
    asked = parse_retry_after(text, NOW)
    assert asked is None or timedelta(0) <= asked <= timedelta(hours=24)


def test_a_redirect_is_explained_with_its_host() -> None:
    assert "to new.example;" in str(explain(Answer(308, location="new.example")))


def test_one_endpoint_gets_no_more_than_its_cap() -> None:
    assert share(Capacity(free=256, cap=10), [("a", None), ("b", 3)], 200) == {"a": 10, "b": 3}
    assert share(Capacity(free=256, cap=10, busy={"a": 8, "b": 10}), [("a", None), ("b", None)], 200) == {"a": 2}


def test_an_overloaded_endpoint_gets_what_it_has_earned() -> None:
    assert share(Capacity(free=256, cap=10, limits={"a": 2}), [("a", None)], 200) == {"a": 2}


@pytest.mark.parametrize("together", [1, 3, 60])
def test_endpoints_that_hang_leave_places_for_others(together: int) -> None:
    busy: dict[str, int] = {}
    for arrived in range(together, 61, together):
        for _ in range(10):
            room = Capacity(free=256 - sum(busy.values()), cap=64, reserve=64, busy=busy)
            waiting = [(f"hanging-{number}", None) for number in range(arrived)]
            for origin, count in share(room, waiting, 200).items():
                busy[origin] = busy.get(origin, 0) + count
    assert len(busy) == 60
    room = Capacity(free=256 - sum(busy.values()), cap=64, reserve=64, busy=busy)
    assert share(room, [("hanging-1", None), ("newcomer", None)], 200)["newcomer"] >= 1


@given(
    st.integers(0, 300),
    st.lists(
        st.tuples(st.text("abcdef", min_size=1, max_size=2), st.none() | st.integers(1, 99)), unique_by=lambda w: w[0]
    ),
    st.dictionaries(st.text("abcdef", min_size=1, max_size=2), st.integers(1, 64)),
    st.integers(1, 200),
)
def test_shares_fit_into_the_room(
    free: int, waiting: list[tuple[str, int | None]], busy: dict[str, int], most: int
) -> None:
    shares = share(Capacity(free=free, cap=64, reserve=64, busy=busy), waiting, most)
    assert sum(shares.values()) <= min(free, most)
    for origin, count in shares.items():
        assert 0 < count <= (dict(waiting)[origin] or 64)


@given(st.integers(1, 300), st.integers(1, 200))
def test_someone_is_served_while_anything_is_free(free: int, most: int) -> None:
    assert sum(share(Capacity(free=free, cap=64, reserve=64), [("a", None), ("b", None)], most).values()) >= 1
