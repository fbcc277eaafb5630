"""How many requests a key may send, and how often an address may fail, by a clock that the test sets."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.access.caller import LOCAL, Caller
from pipeline.http_api.problems import Problem
from pipeline.http_api.rate_limits import MAX_FAILURES, FailedAttempts, RateLimits

KEY = replace(LOCAL, key_id="one", rate=10.0)


class Clock:
    """A monotonic clock."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def taken(limits: RateLimits, caller: Caller, number: int) -> list[bool]:
    """Send requests, and return which of them were allowed."""
    found = [limits.take(caller) for _ in range(number)]
    return [each is not None and each.wait is None for each in found]


def test_a_key_may_send_two_seconds_of_its_rate_at_once_and_then_its_rate() -> None:
    clock = Clock()
    limits = RateLimits(clock=clock)
    assert taken(limits, KEY, 25) == [True] * 20 + [False] * 5
    clock.now += 1
    assert taken(limits, KEY, 15) == [True] * 10 + [False] * 5
    clock.now += 3_600
    assert sum(taken(limits, KEY, 30)) == 20


def test_a_refused_request_is_told_when_to_come_back() -> None:
    clock = Clock()
    limits = RateLimits(clock=clock)
    taken(limits, KEY, 20)
    refused = limits.take(KEY)
    assert refused is not None
    assert refused.wait == pytest.approx(0.1)
    clock.now += refused.wait + 0.001
    assert taken(limits, KEY, 2) == [True, False]


def test_keys_do_not_share_a_bucket_and_a_caller_without_a_key_has_none() -> None:
    limits = RateLimits(clock=Clock())
    taken(limits, KEY, 30)
    assert taken(limits, replace(KEY, key_id="two"), 1) == [True]
    assert limits.take(LOCAL) is None


def test_processes_share_the_rate_of_a_key() -> None:
    limits = RateLimits(processes=4, clock=Clock())
    assert sum(taken(limits, KEY, 30)) == 5


@pytest.mark.parametrize(
    ("rate", "policy", "left"),
    [(100.0, '"key";q=6000;w=60', '"key";r=190;t=1'), (0.01, '"key";q=1;w=100', '"key";r=0;t=100')],
)
def test_the_headers_say_the_policy_and_what_is_left(rate: float, policy: str, left: str) -> None:
    limits = RateLimits(clock=Clock())
    taken(limits, replace(KEY, rate=rate), 9)
    allowance = limits.take(replace(KEY, rate=rate))
    assert allowance is not None
    assert allowance.headers() == {"RateLimit-Policy": policy, "RateLimit": left}


def test_an_address_that_fails_ten_times_a_minute_is_refused_for_the_rest_of_it() -> None:
    clock = Clock()
    failures = FailedAttempts(clock)
    for _ in range(MAX_FAILURES):
        failures.refuse_if_too_many("192.0.2.1")
        failures.note("192.0.2.1")
        clock.now += 1
    with pytest.raises(Problem) as refused:
        failures.refuse_if_too_many("192.0.2.1")
    assert (refused.value.status, refused.value.headers["Retry-After"]) == (429, "50")
    failures.refuse_if_too_many("192.0.2.2")
    clock.now += 50
    failures.refuse_if_too_many("192.0.2.1")


def test_addresses_of_one_ipv6_network_fail_together_and_a_local_socket_has_no_limit() -> None:
    failures = FailedAttempts(Clock())
    for number in range(MAX_FAILURES):
        failures.note(f"2001:db8::{number + 1}")
        failures.note("unix")
        failures.note(None)
    with pytest.raises(Problem):
        failures.refuse_if_too_many("2001:db8::ffff")
    failures.refuse_if_too_many("2001:db8:0:1::1")
    failures.refuse_if_too_many("unix")
    failures.refuse_if_too_many(None)
