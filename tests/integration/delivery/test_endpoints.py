"""Endpoints for people: configured, disabled and enabled, shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, update

from pipeline.database import tables
from pipeline.database.engine import Database
from pipeline.delivery import endpoints as service
from pipeline.delivery.claim import claim_due
from pipeline.delivery.rules.capacity import Capacity
from pipeline.errors import InvalidInput, NotFound
from tests.support.receivers.owed import context_of, endpoints, owe, states, to

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ORIGIN = "http://127.0.0.1:8001"


def test_settings_are_kept_for_the_origin_of_any_url_of_it(database: Database) -> None:
    context = context_of(database)
    service.configure(context, "https://Example.com/hook?a=b", rate=10, schedule="short")
    found = service.configure(context, "https://example.com:443", in_flight_cap=3, schedule=None)
    assert found.origin == "https://example.com:443"
    assert {name: value for name, value in found.settings.items() if value is not None} == {
        "rate": 10.0,
        "in_flight_cap": 3,
    }
    assert (found.state, found.backlog, found.notices) == ("ok", {}, [])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"rat": 1}, "no setting 'rat'; its settings are schedule, rate, burst"),
        ({"rate": 0}, "rate is 0; expected a number from 0.001 to 100000"),
        ({"rate": "10"}, "rate is '10'"),
        ({"rate": True}, "rate is True"),
        ({"rate": float("nan")}, "rate is nan"),
        ({"rate": 1, "burst": 1.5}, "burst is 1.5; expected a whole number from 1"),
        ({"burst": 5}, "burst has no effect without rate"),
        ({"in_flight_cap": 0}, "in_flight_cap is 0"),
        ({"ordering": "seq"}, "ordering is 'seq'; expected endpoint or batch"),
        ({"max_block_seconds": 5}, "max_block_seconds has no effect without ordering"),
        ({"coalesce_items": 501}, "expected a whole number from 1 to 500"),
        ({"coalesce_ms": 100}, "coalesce_ms has no effect without coalesce_items"),
        ({"schedule": "shrot"}, "there is no schedule 'shrot'; choose standard or short; did you mean 'short'?"),
    ],
)
def test_a_setting_that_cannot_be_used_is_refused_with_what_to_do(
    database: Database, settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        service.configure(context_of(database), ORIGIN, **settings)
    assert words in str(refused.value)
    assert endpoints(database) == {}


def test_a_setting_that_others_need_cannot_be_taken_away_alone(database: Database) -> None:
    context = context_of(database)
    service.configure(context, ORIGIN, rate=10, burst=5)
    with pytest.raises(InvalidInput, match="burst has no effect without rate"):
        service.configure(context, ORIGIN, rate=None)
    assert service.configure(context, ORIGIN, rate=None, burst=None).settings["burst"] is None


def test_what_is_no_url_is_no_endpoint(database: Database) -> None:
    with pytest.raises(InvalidInput, match="not an absolute URL"):
        service.configure(context_of(database), "example.com", rate=1)


def test_an_endpoint_that_nobody_knows_is_not_found(database: Database) -> None:
    with pytest.raises(NotFound, match="the endpoint https://example.com:443 is unknown"):
        service.show(context_of(database), "https://example.com")


def test_disabling_pauses_and_enabling_sends_again_and_both_are_told(database: Database) -> None:
    owe(database, to(*[8_001] * 3, 8_002), at=NOW)
    context = context_of(database, now=lambda: NOW)
    assert service.disable(context, f"{ORIGIN}/hook") == 3
    assert service.disable(context, ORIGIN) == 0
    assert states(database) == ["paused"] * 3 + ["pending"]
    found = service.show(context, ORIGIN)
    assert (found.state, found.disabled_reason, found.backlog) == ("disabled", "manual", {"paused": 3})
    assert service.enable(context, ORIGIN) == 3
    assert service.enable(context, ORIGIN) == 0
    found = service.show(context, ORIGIN)
    assert (found.state, found.backlog, found.oldest_due_at) == ("ok", {"pending": 3}, NOW)
    assert [notice["type"] for notice in found.notices] == ["endpoint.enabled", "endpoint.disabled"]


def test_enabling_an_endpoint_that_is_left_alone_has_it_called_at_once(database: Database) -> None:
    owe(database, to(*[8_001] * 3), at=NOW)
    later = NOW + timedelta(hours=1)
    with database.write() as connection:
        connection.execute(
            tables.endpoints.insert().values(
                origin=ORIGIN, breaker="open", open_until=later, not_before=later, trips=3, updated_at=NOW
            )
        )
    service.enable(context_of(database, now=lambda: NOW), ORIGIN)
    claim = claim_due(database, Capacity(9, 9), worker="a", now=NOW, lease_until=lambda: later, most=9)
    assert [owed.is_probe for owed in claim.owed] == [False]


def test_what_waits_and_what_was_given_up_is_counted_by_state(database: Database) -> None:
    owe(database, to(*[8_001] * 6, 8_002), at=NOW)
    with database.write() as connection:
        for id_, state in enumerate(("pending", "sending", "paused", "dead", "delivered", "cancelled"), 1):
            connection.execute(
                update(tables.deliveries).where(tables.deliveries.c.id == id_).values(state=state, lease_until=NOW)
            )
    first, second = service.every(context_of(database))
    assert (first.origin, first.backlog) == (ORIGIN, {"pending": 1, "sending": 1, "paused": 1, "dead": 1})
    assert (second.backlog, second.state) == ({"pending": 1}, "ok")


@pytest.mark.parametrize("limit", [None, 3])
def test_a_list_takes_as_many_statements_for_many_endpoints_as_for_one(database: Database, limit: int | None) -> None:
    context = context_of(database, now=lambda: NOW)
    statements: list[str] = []

    def number() -> int:
        statements.clear()
        service.every(context, limit=limit)
        return len(statements)

    event.listen(database.engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    owe(database, to(8_001), at=NOW)
    one = number()
    for port in range(8_002, 8_022):
        service.disable(context, f"http://127.0.0.1:{port}")
    assert number() == one
    assert len(service.every(context, limit=limit)) == (limit or 21)


def test_each_endpoint_of_a_list_is_as_it_is_alone(database: Database) -> None:
    context = context_of(database, now=lambda: NOW)
    owe(database, to(*[8_001] * 3, 8_002, 8_003), at=NOW)
    service.disable(context, "http://127.0.0.1:8002")
    service.enable(context, "http://127.0.0.1:8002")
    service.disable(context, "http://127.0.0.1:8003")
    service.configure(context, "https://example.com", rate=3)
    assert [service.show(context, each.origin) for each in service.every(context)] == service.every(context)
    assert len(service.every(context)) == 4


def test_a_state_that_there_is_not_is_refused(database: Database) -> None:
    with pytest.raises(InvalidInput, match="there is no endpoint state 'broken'; choose from disabled, locked"):
        service.every(context_of(database), state="broken")
