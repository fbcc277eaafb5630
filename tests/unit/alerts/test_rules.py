"""When alerts open and end, and what channels are sent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.alerts.rules.channel import AlertChannel, ChannelFormat
from pipeline.alerts.rules.episode import Episode, Severity
from pipeline.alerts.rules.formats import request_body
from pipeline.alerts.rules.looks import Looks
from pipeline.alerts.rules.message import AlertEventType, alert_body, event_seq
from pipeline.alerts.rules.outage import Outage, OutageChange
from pipeline.delivery.alerts.email_client import make_email

AT = datetime(2026, 1, 1, tzinfo=UTC)


def found(*keys: str) -> dict[str, Episode]:
    return {key: Episode("rule", key, Severity.ERROR, "summary") for key in keys}


def test_a_condition_has_to_be_met_twice_in_a_row_and_to_be_over_twice() -> None:
    looks = Looks(lambda _: 2)
    opened = [looks.look(found(*keys), {}).opened for keys in ("a", "", "a", "a")]
    assert [len(each) for each in opened] == [0, 0, 0, 1]
    resolved = [looks.look(found(*keys), {"a": "rule"}).resolved for keys in ("", "a", "", "")]
    assert [list(each) for each in resolved] == [[], [], [], ["a"]]


@given(st.lists(st.booleans(), max_size=60))
def test_what_flickers_never_fires(met: list[bool]) -> None:
    looks, is_firing = Looks(lambda _: 2), False
    before = False
    for now in met:
        changes = looks.look(found("a") if now else {}, {"a": "rule"} if is_firing else {})
        assert not changes.opened or (now and before)
        assert not changes.resolved or not (now or before)
        is_firing = (is_firing or bool(changes.opened)) and not changes.resolved
        before = now


def test_a_service_is_out_after_a_minute_and_back_with_its_first_answer() -> None:
    outage = Outage(answered_at=0.0)
    assert [outage.check(at, 60, 10) for at in (5, 59, 60, 65)] == [None, None, OutageChange.BEGAN, None]
    outage.answered(68)
    assert [outage.check(at, 60, 10) for at in (70, 75)] == [OutageChange.ENDED, None]


def test_a_service_that_was_not_asked_is_not_out() -> None:
    assert Outage(0.0).check(30, 5, 20) is None


def a_row(**given: Any) -> dict[str, Any]:
    return {
        "id": 7,
        "public_id": "alr_0123",
        "name": "batch_stuck",
        "key": "batch_stuck:b",
        "severity": "critical",
        "summary": "<script> & more",
        "batch": "b",
        "definition": "d",
        "origin": None,
        "value": orjson.dumps({"seconds": 601, "stage": "enrich", "items": list("1234567")}).decode(),
        "opened_at": AT,
        "resolved_at": None,
        "reason": None,
    } | given


def test_the_body_has_what_is_promised() -> None:
    body = orjson.loads(alert_body(a_row(), AlertEventType.FIRING, AT, "https://p.example.com/"))
    assert body["type"] == "alert.firing"
    data = body["data"]
    assert (data["stage"], data["value"], data["items"]) == ("enrich", {"seconds": 601}, list("12345"))
    assert data["url"] == "https://p.example.com/ui/batches/b"


def test_the_beginning_says_nothing_of_an_end_that_is_known_already() -> None:
    over = a_row(resolved_at=AT, reason="over")
    assert orjson.loads(alert_body(over, AlertEventType.FIRING, AT, None))["data"]["resolved_at"] is None
    assert orjson.loads(alert_body(over, AlertEventType.RESOLVED, AT, None))["data"]["reason"] == "over"


def test_no_two_events_have_the_same_seq() -> None:
    seqs = [event_seq(id_, each) for id_ in range(1, 100) for each in AlertEventType]
    assert len(set(seqs)) == len(seqs)


def send(
    format_: ChannelFormat, row: dict[str, Any] | None = None, kind: AlertEventType = AlertEventType.FIRING
) -> Any:
    channel = AlertChannel("a", format_, options={"routing_key": "key"})
    return orjson.loads(request_body(channel, alert_body(row or a_row(), kind, AT, None), AT))


def test_slack_gets_escaped_text_of_bounded_length() -> None:
    sent = send(ChannelFormat.SLACK, a_row(summary="<&>" * 2_000))
    assert "<" not in sent["text"]
    assert all(len(block["text"]["text"]) <= 3_000 for block in sent["blocks"])


def test_pagerduty_gets_one_incident() -> None:
    opened, ended = (send(ChannelFormat.PAGERDUTY, kind=each) for each in AlertEventType)
    assert (opened["event_action"], ended["event_action"]) == ("trigger", "resolve")
    assert opened["dedup_key"] == ended["dedup_key"] == "alr_0123"
    assert opened["payload"]["severity"] in ("critical", "error", "warning", "info")


def test_alertmanager_forgets_an_alert_after_five_minutes() -> None:
    (sent,) = send(ChannelFormat.ALERTMANAGER)
    assert sent["endsAt"] == (AT + timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    assert sent["labels"]["alertname"] == "batch_stuck"


@pytest.mark.parametrize("kind", AlertEventType)
def test_an_email_is_one_conversation(kind: AlertEventType) -> None:
    channel = AlertChannel(
        "a", ChannelFormat.EMAIL, options={"from": "Pipeline <p@example.com>", "to": "o@example.com"}
    )
    email = make_email(channel, alert_body(a_row(summary="two\nlines"), kind, AT, None))
    opening = "<alr_0123@example.com>"
    assert opening in (email["Message-ID"], email["In-Reply-To"])
    assert "\n" not in email["Subject"]
    assert email.as_bytes()
