"""The breaker of a step: it opens when a service refuses everybody, and a probe closes it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from pipeline.definitions.input_and_retry import RetrySpec, make_backoff
from pipeline.domain.item import WorkItem
from pipeline.domain.outcome import RetryAfter, decide_retry
from pipeline.errors import Permanent, Transient
from pipeline.stages.catalog.step import Mode, Step
from pipeline.stages.enrichers.http_response import error_for_status
from pipeline.stages.run.failure import StepWaits, from_exception
from pipeline.stages.run.outage import is_outage
from pipeline.stages.run.step_breaker import (
    FAILURES,
    LONGEST_PAUSE,
    WINDOW,
    BreakerOpening,
    StepBreaker,
    pause_after,
    with_breaker,
)


def item(name: str) -> WorkItem:
    return WorkItem(item_id=name, batch_id="b", payload={})


def refused(status: int = 401) -> Exception:
    error = Permanent(f"crm answered {status}")
    error.status = status
    return error


class OtherClientError(Exception):
    """As HTTP clients raise it."""

    def __init__(self, status: int) -> None:
        super().__init__(str(status))
        self.response = type("Response", (), {"status_code": status})()


class ConnectError(Exception):
    """As `httpx` has it."""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (refused(401), True),
        (refused(403), True),
        (refused(500), True),
        (refused(404), False),
        (error_for_status(503, None, "crm"), True),
        (error_for_status(429, None, "crm"), False),
        (error_for_status(422, None, "crm"), False),
        (OtherClientError(502), True),
        (OtherClientError(400), False),
        (ConnectionRefusedError(), True),
        (ConnectError(), True),
        (Transient("crm cannot be reached"), False),
        (ValueError("no"), False),
        (TimeoutError(), False),
    ],
)
def test_failures_of_a_service_and_of_one_item(error: Exception, expected: bool) -> None:
    assert is_outage(error) is expected


def test_the_cause_of_an_error_tells_that_no_connection_came_about() -> None:
    error = Transient("crm cannot be reached")
    error.__cause__ = ConnectError()
    assert is_outage(error)


@pytest.fixture
def changes() -> list[bool]:
    return []


@pytest.fixture
def breaker(changes: list[bool]) -> StepBreaker:
    return StepBreaker("crm", lambda each: changes.append(each.is_open))


def stepped(breaker: StepBreaker, call: Callable[[Any], Any], *, is_batched: bool = False) -> Callable[[Any], Any]:
    return with_breaker(Step("crm", call, Mode.THREAD, is_batched=is_batched), breaker).call


def failing(_: object) -> Any:
    raise refused()


def test_it_opens_after_20_failures_of_25_calls_and_its_items_wait(breaker: StepBreaker, changes: list[bool]) -> None:
    fail, succeed = stepped(breaker, failing), stepped(breaker, lambda each: {"id": each.item_id})
    for number in range(5):
        assert succeed(item(f"a{number}")) == {"id": f"a{number}"}
    for number in range(FAILURES - 1):
        with pytest.raises(Permanent):
            fail(item(str(number)))
    assert not breaker.is_open
    # This call fails as well, and its item waits.
    with pytest.raises(StepWaits, match="20 of 25 calls failed: crm answered 401") as caught:
        fail(item("last"))
    assert changes == [True]
    failure = from_exception(caught.value)
    assert (failure.type, failure.is_waiting) == ("step_waits", True)
    decision = decide_retry(failure, attempt=1, snoozes=0, max_attempts=1, backoff=make_backoff(RetrySpec()))
    assert isinstance(decision, RetryAfter)
    assert not decision.counts_attempt
    assert not decision.counts_snooze
    assert 0 < decision.delay.total_seconds() <= 5
    # And nothing is called any more.
    with pytest.raises(StepWaits):
        succeed(item("next"))


def test_a_share_of_failures_below_20_of_25_does_not_open_it(breaker: StepBreaker) -> None:
    fail, succeed = stepped(breaker, failing), stepped(breaker, lambda _: {})
    for number in range(20 * WINDOW):
        if number % 5 < 3:
            with pytest.raises(Permanent):
                fail(item(str(number)))
        else:
            succeed(item(str(number)))
    assert not breaker.is_open


def test_a_probe_that_fails_keeps_it_open_and_one_that_succeeds_closes_it(
    breaker: StepBreaker, changes: list[bool]
) -> None:
    breaker.open(BreakerOpening(20, 25, "crm answered 401"), 0.0, 0)
    fail, succeed = stepped(breaker, failing), stepped(breaker, lambda _: {"is": "fine"})
    breaker.allow_probe("p", 10.0)
    with pytest.raises(StepWaits):
        succeed(item("other"))
    with pytest.raises(StepWaits):
        fail(item("p"))
    with pytest.raises(StepWaits):
        succeed(item("p"))
    breaker.allow_probe("p", 10.0)
    assert breaker.probes == 2
    assert succeed(item("p")) == {"is": "fine"}
    assert not breaker.is_open
    assert changes == [False]
    assert succeed(item("other")) == {"is": "fine"}


def test_an_answer_about_one_item_closes_it_too(breaker: StepBreaker) -> None:
    breaker.open(BreakerOpening(20, 25, "crm answered 401"), 0.0, 0)
    breaker.allow_probe("p", 10.0)

    def unknown(_: object) -> None:
        raise refused(404)

    with pytest.raises(Permanent):
        stepped(breaker, unknown)(item("p"))
    assert not breaker.is_open


def test_a_list_call_counts_once_and_only_if_all_of_its_items_are_refused(breaker: StepBreaker) -> None:
    group = [item("a"), item("b")]
    for _ in range(2 * WINDOW):
        answers = stepped(breaker, lambda _: [refused(), {"is": "fine"}], is_batched=True)(group)
        assert isinstance(answers[0], Permanent)
    assert not breaker.is_open
    for _ in range(FAILURES):
        answers = stepped(breaker, lambda _: [refused(), refused()], is_batched=True)(group)
    assert breaker.is_open
    assert [type(each) for each in answers] == [StepWaits, StepWaits]


def test_it_guards_calls_on_the_event_loop_and_their_end(breaker: StepBreaker) -> None:
    class Enricher:
        closed = False

        async def __call__(self, each: WorkItem) -> dict[str, Any]:
            raise refused(503)

        async def aclose(self) -> None:
            self.closed = True

    enricher = Enricher()
    call = with_breaker(Step("crm", enricher, Mode.ASYNC), breaker).call

    async def calls() -> list[BaseException]:
        found = [await asyncio.gather(call(item(str(n))), return_exceptions=True) for n in range(30)]
        await call.aclose()
        return [each for (each,) in found if isinstance(each, BaseException)]

    errors = asyncio.run(calls())
    assert [isinstance(each, StepWaits) for each in errors] == [False] * (FAILURES - 1) + [True] * 11
    assert enricher.closed


def test_probes_become_rarer() -> None:
    assert [pause_after(number) for number in range(4)] == [5.0, 10.0, 20.0, LONGEST_PAUSE]


def test_inline_steps_ask_no_service(breaker: StepBreaker) -> None:
    step = Step("language", failing, Mode.INLINE)
    assert with_breaker(step, breaker) is step
