"""What a query may be, and values by which it goes on."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from pipeline.errors import InvalidInput
from pipeline.sources.query.order_value import decode_order_value, encode_order_value
from pipeline.sources.query.query_text import check_query


@pytest.mark.parametrize(
    ("query", "checked"),
    [
        ("SELECT 1;", "SELECT 1"),
        ("  with a as (select 1) select * from a ; \n", "with a as (select 1) select * from a"),
        ("-- all of them\n/* yes */ (SELECT 1)", "-- all of them\n/* yes */ (SELECT 1)"),
    ],
)
def test_a_query_begins_with_select_or_with(query: str, checked: str) -> None:
    assert check_query(query) == checked


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("DELETE FROM t", "begins with 'DELETE'"),
        ("-- SELECT\nDROP TABLE t", "begins with 'DROP'"),
        ("/* SELECT 1", "is empty"),
        (" ;", "is empty"),
        ("SELECTED", "begins with 'SELECTED'"),
    ],
)
def test_another_statement_is_refused(query: str, found: str) -> None:
    with pytest.raises(InvalidInput, match=found):
        check_query(query)


@pytest.mark.parametrize(
    "value",
    [
        7,
        -(2**70),
        "a:b",
        "",
        1.25,
        Decimal("1.50"),
        date(2026, 1, 2),
        datetime(2026, 1, 2, 3, 4, 5, 6),  # noqa: DTZ001 - as a server without time zones has it
        datetime(2026, 1, 2, tzinfo=UTC),
        datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=5, minutes=45))),
        UUID("12345678123456781234567812345678"),
        b"\x00\xff",
    ],
)
def test_a_value_to_go_on_after_survives_being_stored(value: Any) -> None:
    stored = encode_order_value("id", value)
    assert isinstance(stored, str | int)
    found = decode_order_value(stored)
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(("value", "reason"), [(None, "NULL"), ([1], "list"), (True, "bool")])
def test_a_value_that_no_row_can_follow_is_refused(value: Any, reason: str) -> None:
    with pytest.raises(InvalidInput, match=f"^column 'at' holds .*{reason}"):
        encode_order_value("at", value)
