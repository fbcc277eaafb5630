"""Endpoints for people: configured, disabled and enabled, looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import Connection

from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.delivery.endpoint_secrets import Described, change_headers, described
from pipeline.delivery.notices import tell
from pipeline.delivery.rules.delivery import DisabledReason
from pipeline.delivery.rules.endpoint_settings import SETTINGS, check_settings, check_together
from pipeline.delivery.rules.endpoint_state import Condition, EndpointState, condition
from pipeline.delivery.rules.headers import check_headers
from pipeline.delivery.rules.health import Health
from pipeline.delivery.rules.notice import Notice, NoticeType
from pipeline.delivery.sql import backlog, claims, endpoints, health, notices
from pipeline.delivery.sql.recent_successes import LOOKED_AT, Taken, taken
from pipeline.domain.callback_url import check_callback_url, parse
from pipeline.errors import InvalidInput, NotFound

#: Notices that are shown, newest first.
SHOWN_NOTICES = 20
#: Characters in which a person says why an endpoint is disabled.
LONGEST_REASON = 200


@dataclass(frozen=True, slots=True)
class KnownEndpoint:
    """What is known of an endpoint.

    Args:
        condition: how it is, in one word, and why.
        settings: what is configured, by name; None: the default.
        own: secrets and headers of its own, as far as they may be shown.
        backlog: deliveries that wait or were given up, by state.
        taken: how many of the newest deliveries, a hundred thousand, it took, and when the last.
        oldest_due_at: since when the first of its pending deliveries is due, or when it will be.
        notices: what happened to it, newest first.
    """

    origin: str
    condition: Condition
    settings: dict[str, Any]
    own: Described
    health: Health
    disabled_at: datetime | None
    disabled_reason: str | None
    backlog: dict[str, int]
    taken: Taken
    oldest_due_at: datetime | None
    notices: list[Row]

    @property
    def state(self) -> EndpointState:
        return self.condition.state

    @property
    def last_success_at(self) -> datetime | None:
        """When it last took something: of its health no success but the first of a minute is noted."""
        return max(filter(None, (self.health.last_success_at, self.taken.last_at)), default=None)


@dataclass(frozen=True, slots=True)
class Troubled:
    """An endpoint that fails or is disabled."""

    origin: str
    condition: Condition


def configure(
    context: Context, endpoint: str, *, headers: Mapping[str, str | None] | None = None, **settings: Any
) -> KnownEndpoint:
    """Change settings of an endpoint, all or none, from its next attempt on; None sets the default again.

    Args:
        endpoint: `scheme://host:port`, or any URL of it. It need not have been called yet.
        headers: added to every request, by name; None takes one away. Those not named stay.
        settings: schedule, rate, burst, in_flight_cap, ordering, max_block_seconds, coalesce_items, coalesce_ms.

    Raises:
        InvalidInput: there is no such setting, or its value or a header cannot be used.
        Locked: no key to encrypt headers, or the present ones cannot be read.
    """
    name, checked, now = _origin(endpoint), check_settings(settings), context.now()
    if headers:
        check_headers({each: value for each, value in headers.items() if value is not None})
        check_callback_url(endpoint, context.settings.allow_private_callbacks, name="the endpoint")
    with context.database.write() as connection:
        health.make_known(connection, [name], now)
        (row,) = endpoints.lock(connection, [name])
        check_together({each: row[each] for each in SETTINGS} | checked)
        endpoints.change(connection, name, checked, now)
        if headers:
            change_headers(connection, context, name, headers)
    return show(context, name)


def disable(context: Context, endpoint: str, reason: str | None = None) -> int:
    """Call an endpoint no more; what is owed to it is paused and kept. Return how many deliveries that are.

    Args:
        reason: one line that says why, for others; it replaces that of an endpoint that is disabled already.

    Raises:
        InvalidInput: the endpoint is none, or the reason is not one line.
    """
    name, now = _origin(endpoint), context.now()
    why = DisabledReason.MANUAL.value if reason is None else f"{DisabledReason.MANUAL.value}: {_line(reason)}"
    noticed = []
    with context.database.write() as connection:
        if endpoints.disable(connection, name, why, now):
            noticed = [Notice(name, NoticeType.DISABLED, now, why)]
        elif reason is not None:
            # What somebody says now is newer than why it was disabled before.
            endpoints.change(connection, name, {"disabled_reason": why}, now)
        paused = claims.pause(connection, [name])
        notices.add(connection, noticed)
    tell(noticed)
    return paused


def is_known(context: Context, endpoint: str) -> bool:
    """Say whether an endpoint was ever configured or failed, is owed something or took something lately."""
    name = _origin(endpoint)
    with context.database.read() as connection:
        return _is_known(connection, name)


def enable(context: Context, endpoint: str) -> int:
    """Call an endpoint again, and send what was paused for it. Return how many deliveries that are.

    An endpoint that is only left alone for a while, since its breaker is open or since it asked for it, is called at
    once as well.

    Raises:
        NotFound: nothing is known of it.
    """
    name, now = _origin(endpoint), context.now()
    noticed = []
    with context.database.write() as connection:
        if not _is_known(connection, name):
            raise _unknown(name)
        if endpoints.enable(connection, name, now):
            noticed = [Notice(name, NoticeType.ENABLED, now)]
        resumed = claims.unpause(connection, name, now)
        notices.add(connection, noticed)
    tell(noticed)
    return resumed


def show(context: Context, endpoint: str) -> KnownEndpoint:
    """Return what is known of an endpoint.

    Raises:
        NotFound: it was never configured and never failed, is owed nothing and took nothing lately.
    """
    name = _origin(endpoint)
    with context.database.read() as connection:
        row = endpoints.get(connection, name)
        took = taken(connection)
        (found,) = _endpoints(context, connection, {name: row or {}}, took)
    if row is None and not found.backlog and name not in took:
        raise _unknown(name)
    return found


def every(
    context: Context, *, state: str | None = None, after: str | None = None, limit: int | None = None
) -> list[KnownEndpoint]:
    """Return endpoints that were ever configured or failed, are owed something or took something lately, by name.

    Args:
        state: only those in this state.
        after: an endpoint, `https://host` or any URL there; only those behind it, for the next page.
        limit: at most so many.

    Raises:
        InvalidInput: there is no such state, or `after` is no URL.
    """
    known = [each.value for each in EndpointState]
    if state is not None and state not in known:
        raise InvalidInput(f"no endpoint is in a state {state!r}; states are {', '.join(known)}")
    behind = "" if after is None else _origin(after)
    with context.database.read() as connection:
        rows = {row["origin"]: row for row in endpoints.known(connection)}
        took = taken(connection)
        names = sorted(name for name in {*rows, *took, *backlog.origins(connection)} if name > behind)
        wanted = (name for name in names if state is None or _is(context, rows.get(name, {}), state))
        return _endpoints(context, connection, {name: rows.get(name, {}) for name in islice(wanted, limit)}, took)


def troubled(context: Context, limit: int) -> list[Troubled]:
    """Return at most `limit` endpoints that fail or are disabled, by name; what they are owed is not counted."""
    with context.database.read() as connection:
        found = endpoints.troubled(connection, limit)
    return [Troubled(row["origin"], _condition(context, row, locked=None)) for row in found]


def _endpoints(
    context: Context, connection: Connection, chosen: Mapping[str, Row], took: Mapping[str, Taken]
) -> list[KnownEndpoint]:
    """Return what is known of endpoints by the rows they have, if any; in as many statements for all as for one."""
    names = list(chosen)
    waits, due = backlog.counts(connection, names), backlog.oldest_due_at(connection, names)
    noticed = notices.newest(connection, names, SHOWN_NOTICES)
    return [
        _endpoint(
            context, name, row, waits.get(name, {}), due.get(name), noticed.get(name, []), took.get(name, Taken())
        )
        for name, row in chosen.items()
    ]


def _endpoint(
    context: Context,
    name: str,
    row: Row,
    waits: dict[str, int],
    due_at: datetime | None,
    noticed: list[Row],
    took: Taken,
) -> KnownEndpoint:
    own = described(row, context) if row else Described(name)
    return KnownEndpoint(
        origin=name,
        condition=_condition(context, row, locked=own.locked),
        settings={each: row.get(each) for each in SETTINGS},
        own=own,
        health=health.of_row(row) if row else Health(),
        disabled_at=row.get("disabled_at"),
        disabled_reason=row.get("disabled_reason"),
        backlog=waits,
        taken=took,
        oldest_due_at=due_at,
        notices=noticed,
    )


def _is(context: Context, row: Row, state: str) -> bool:
    locked = described(row, context).locked if row else None
    return _condition(context, row, locked=locked).state == state


def _condition(context: Context, row: Row, *, locked: str | None) -> Condition:
    at = row.get("disabled_at")
    disabled = None if at is None else (at, row["disabled_reason"])
    found = health.of_row(row) if row else Health()
    return condition(found, context.now(), disabled=disabled, locked=locked)


def _is_known(connection: Connection, name: str) -> bool:
    # All that was ever delivered is not looked through: no index has it by endpoint.
    return bool(endpoints.get(connection, name) or backlog.counts(connection, [name]) or name in taken(connection))


def _origin(endpoint: str) -> str:
    return parse(endpoint, name="the endpoint").origin


def _line(reason: str) -> str:
    line = reason.strip()
    if not line or len(line) > LONGEST_REASON or not line.isprintable():
        raise InvalidInput(f"the reason is {reason[:LONGEST_REASON]!r}; one line of 1 to {LONGEST_REASON} letters")
    return line


def _unknown(name: str) -> NotFound:
    return NotFound(
        f"nothing is known of the endpoint {name}: it was never configured, never failed, is owed nothing, and took "
        f"none of the newest {LOOKED_AT:,} callbacks; "
        "`pipeline endpoints list` lists those known"
    )
