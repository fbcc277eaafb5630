"""Receivers that break off, and every status with every way of asking to wait, over real sockets."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http import HTTPStatus
from typing import Any

import pytest

from pipeline.database.engine import Database
from tests.support.receivers.owed import Sending, attempts, deliveries, endpoints, options, owe, states, to, wait_until
from tests.support.receivers.scripted import Answering, Request, Scripted, answer

#: Statuses that have no body, whatever their headers say.
BODILESS = {204, 205, 304}
FINAL = [status.value for status in HTTPStatus if status >= 200]
HOUR = timedelta(hours=1)
#: By the schedule of these tests, to which up to a fifth of jitter comes.
SOON, LATEST = timedelta(minutes=2), timedelta(minutes=2, seconds=24)


def to_each_status(port: int, statuses: Iterable[int]) -> list[tuple[str, str]]:
    """Return a URL and an endpoint of its own for each status: what one answers pauses no other."""
    return [(f"http://127.0.0.1:{port}/{status}", f"http://{status}.test:{port}") for status in statuses]


def as_asked(*headers: str) -> Answering:
    """Return an answering with the status that is the path."""

    def say(request: Request, connection: socket.socket) -> bool:
        status = int(request.line.split()[1].strip("/"))
        return answer(status, *headers, body=b"" if status in BODILESS else b"ok")(request, connection)

    return say


def outcomes(database: Database) -> dict[int, tuple[str, str, timedelta | None]]:
    """Return by status what its delivery and its attempt came to, and when the next is due: SOON by the schedule."""
    of_delivery = {row["delivery_id"]: row for row in attempts(database)}
    return {row["last_status"]: _outcome(row, of_delivery[row["id"]]) for row in deliveries(database)}


def _outcome(delivery: dict[str, Any], attempt: dict[str, Any]) -> tuple[str, str, timedelta | None]:
    waits = delivery["due_at"] - attempt["ended_at"] if delivery["state"] == "pending" else None
    return delivery["state"], attempt["outcome"], SOON if waits is not None and SOON <= waits <= LATEST else waits


@pytest.mark.parametrize("asked", [None, HOUR])
def test_every_status_has_the_outcome_of_the_table_with_and_without_retry_after(
    database: Database, asked: timedelta | None
) -> None:
    header = [] if asked is None else [f"Retry-After: {asked // timedelta(seconds=1)}"]
    with Scripted(as_asked(*header)) as receiver:
        owe(database, to_each_status(receiver.port, FINAL))
        with Sending(database, options=options(delays=[SOON])):
            wait_until(lambda: len(attempts(database)) == len(FINAL))
    found = outcomes(database)
    snoozed = [429] if asked is None else [429, 503]
    delivered = [status for status in FINAL if status < 300]
    expected = {status: ("pending", "retry", asked or SOON) for status in FINAL}
    expected |= {status: ("delivered", "succeeded", None) for status in delivered}
    expected |= {status: ("pending", "snoozed", asked or SOON) for status in snoozed}
    assert found == expected | {410: ("dead", "dead", None)}


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    "form",
    [
        lambda at: format_datetime(at, usegmt=True),
        lambda at: f"{at:%A, %d-%b-%y %H:%M:%S} GMT",
        lambda at: f"{at:%a %b} {at.day:2} {at:%H:%M:%S %Y}",
        lambda at: "7199.5",
    ],
    ids=["imf-fixdate", "rfc850", "asctime", "decimal"],
)
def test_retry_after_is_understood_in_every_form(database: Database, status: int, form: Any) -> None:
    at = datetime.now(UTC).replace(microsecond=0) + 2 * HOUR
    with Scripted(answer(status, f"Retry-After: {form(at)}")) as receiver:
        owe(database, to(receiver.port))
        with Sending(database):
            wait_until(lambda: len(attempts(database)) == 1)
    (attempt,), (endpoint,) = attempts(database), endpoints(database).values()
    assert attempt["outcome"] == "snoozed"
    # To the second that it names; a decimal counts from the answer, and is rounded up.
    assert endpoint["not_before"] == (attempt["ended_at"] + 2 * HOUR if form(at) == "7199.5" else at)


@pytest.mark.parametrize("asked", ["Thu, 01 Jan 1970 00:00:00 GMT", "-5", "soon", "", "1e9999"])
def test_what_is_no_time_to_wait_or_past_leaves_the_schedule_as_it_is(database: Database, asked: str) -> None:
    with Scripted(answer(500, f"Retry-After: {asked}")) as receiver:
        owe(database, to(receiver.port))
        with Sending(database, options=options(delays=[SOON])):
            wait_until(lambda: len(attempts(database)) == 1)
    assert outcomes(database) == {500: ("pending", "retry", SOON)}


def reset_after(said: bytes) -> Answering:
    """Return an answering that says so much, and ends its connection without a farewell."""

    def say(_: Request, connection: socket.socket) -> bool:
        connection.sendall(said)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False

    return say


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\ncontent-"])
def test_a_connection_that_is_reset_before_the_status_is_known_is_a_failure(database: Database, said: bytes) -> None:
    with Scripted(reset_after(said)) as receiver:
        owe(database, to(receiver.port))
        with Sending(database, options=options(delays=[])):
            wait_until(lambda: states(database) == ["dead"])
    assert deliveries(database)[0]["last_error"] == "connection_reset"
    assert len(receiver.requests) == 1


def test_a_connection_that_is_reset_within_the_body_leaves_the_status_in_force(database: Database) -> None:
    said = b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\npart"
    with Scripted(reset_after(said)) as receiver:
        owe(database, to(receiver.port))
        with Sending(database, options=options(delays=[])):
            wait_until(lambda: "pending" not in states(database) and "sending" not in states(database))
    assert states(database) == ["delivered"]
    assert len(receiver.requests) == 1
