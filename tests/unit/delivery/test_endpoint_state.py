"""How an endpoint is, in one word, and since or until when."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.delivery.rules.breaker import Breaker, BreakerState
from pipeline.delivery.rules.endpoint_state import Condition, EndpointState, condition
from pipeline.delivery.rules.health import Health

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
EARLIER, LATER = NOW - timedelta(hours=1), NOW + timedelta(hours=1)
FAILING = Health(failing_since=EARLIER)
THROTTLED = replace(FAILING, not_before=LATER)
OPEN = replace(THROTTLED, breaker=Breaker(BreakerState.OPEN, open_until=LATER))


def test_the_gravest_that_holds_is_said() -> None:
    said = [
        condition(OPEN, NOW, disabled=(EARLIER, "gone"), locked="no key"),
        condition(OPEN, NOW, locked="no key"),
        condition(OPEN, NOW),
        condition(THROTTLED, NOW),
        condition(FAILING, NOW),
        condition(Health(), NOW),
    ]
    assert said == [
        Condition(EndpointState.DISABLED, since=EARLIER, reason="gone"),
        Condition(EndpointState.LOCKED, reason="no key"),
        Condition(EndpointState.OPEN, since=EARLIER, until=LATER),
        Condition(EndpointState.THROTTLED, until=LATER),
        Condition(EndpointState.FAILING, since=EARLIER),
        Condition(EndpointState.OK),
    ]
    assert [each.state for each in said] == list(EndpointState)


@pytest.mark.parametrize("state", [BreakerState.OPEN, BreakerState.HALF_OPEN])
def test_an_endpoint_that_is_probed_is_still_open(state: BreakerState) -> None:
    assert condition(Health(breaker=Breaker(state, open_until=EARLIER)), NOW).state is EndpointState.OPEN


def test_a_pause_that_is_over_says_nothing() -> None:
    assert condition(Health(not_before=NOW), NOW).state is EndpointState.OK
