"""Configure, disable, enable and show endpoints."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
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
from pipeline.delivery.rules.headers import check_header_name, check_headers
from pipeline.delivery.rules.health import Health
from pipeline.delivery.rules.notice import Notice, NoticeType
from pipeline.delivery.sql import backlog, endpoints, health, notices
from pipeline.delivery.sql.pause import pause_deliveries, unpause_deliveries
from pipeline.delivery.sql.recent_successes import SCANNED_DELIVERIES, RecentSuccesses, find_recent
from pipeline.domain.bounds import invalid, shown
from pipeline.domain.callback_url import parse_callback_url
from pipeline.errors import InvalidInput, NotFound

#: Notices shown per endpoint, newest first.
MAX_NOTICES = 20
#: Characters of the reason for disabling an endpoint.
MAX_REASON_LENGTH = 200


@dataclass(frozen=True, slots=True)
class KnownEndpoint:
    """An endpoint with its settings, health and backlog.

    Args:
        condition: its state and the reason.
        settings: configured values by name; None: the default.
        own: its secrets and headers, as far as they may be shown.
        backlog: number of waiting and given-up deliveries, by state.
        taken: how many of the newest 100,000 deliveries it accepted, and when the last.
        oldest_due_at: due time of its oldest pending delivery.
        notices: what happened to it, newest first.
        version: changes with what is configured.
    """

    origin: str
    condition: Condition
    settings: dict[str, Any]
    own: Described
    health: Health
    disabled_at: datetime | None
    disabled_reason: str | None
    backlog: dict[str, int]
    taken: RecentSuccesses
    oldest_due_at: datetime | None
    notices: list[Row]
    version: str

    @property
    def state(self) -> EndpointState:
        return self.condition.state

    @property
    def last_success_at(self) -> datetime | None:
        """When it last accepted a delivery; `health` alone is up to a minute late."""
        return max(filter(None, (self.health.last_success_at, self.taken.last_at)), default=None)


@dataclass(frozen=True, slots=True)
class Troubled:
    """An endpoint that is failing or disabled."""

    origin: str
    condition: Condition


def configure(
    context: Context,
    endpoint: str,
    *,
    headers: Mapping[str, str | None] | None = None,
    check: Callable[[Connection, Row], None] | None = None,
    **settings: Any,
) -> KnownEndpoint:
    """Change settings of an endpoint, all or none, from its next attempt on. None restores the default.

    Args:
        endpoint: `scheme://host:port`, or any URL there. It need not have been called before.
        headers: added to every request, by name; None removes one. Headers not named stay.
        check: called with the locked row before it changes; raises to refuse the change.
        settings: schedule, rate, burst, in_flight_cap, ordering, max_block_seconds, coalesce_items, coalesce_ms.

    Raises:
        InvalidInput: a setting does not exist, or a value or header is invalid.
        CannotDecrypt: there is no key to encrypt headers, or the present headers cannot be decrypted.
    """
    name, checked, now = _origin(endpoint), check_settings(settings), context.now()
    if headers is not None and not isinstance(headers, Mapping):
        raise invalid("headers", headers, "a mapping of names to values")
    if headers:
        for each in headers:
            check_header_name(each)
        check_headers({each: value for each, value in headers.items() if value is not None})
        context.destinations.check_endpoint(endpoint)
    with context.database.write() as connection:
        health.ensure_rows(connection, [name], now)
        (row,) = endpoints.lock(connection, [name])
        if check is not None:
            check(connection, row)
        check_together({each: row[each] for each in SETTINGS} | checked)
        endpoints.update_settings(connection, name, checked, now)
        if headers:
            change_headers(connection, context, name, headers)
    return show(context, name)


def disable(context: Context, endpoint: str, reason: str | None = None) -> int:
    """Stop calling an endpoint. Pending deliveries are paused, not dropped. Return the number paused.

    Args:
        reason: one line for other operators; replaces the reason if the endpoint is disabled already.

    Raises:
        InvalidInput: the endpoint is not a URL, or the reason is not one line.
    """
    name, now = _origin(endpoint), context.now()
    why = DisabledReason.MANUAL.value if reason is None else f"{DisabledReason.MANUAL.value}: {_line(reason)}"
    noticed = []
    with context.database.write() as connection:
        if endpoints.disable(connection, name, why, now):
            noticed = [Notice(name, NoticeType.DISABLED, now, why, context.actor)]
        elif reason is not None:
            # The new reason replaces the one it was disabled for.
            endpoints.update_settings(connection, name, {"disabled_reason": why}, now)
        paused = pause_deliveries(connection, [name])
        notices.add(connection, noticed)
    tell(noticed)
    return paused


def is_known(context: Context, endpoint: str) -> bool:
    """Return whether an endpoint was ever configured or failed, has a backlog, or recently accepted a delivery."""
    name = _origin(endpoint)
    with context.database.read() as connection:
        return _is_known(connection, name)


def enable(context: Context, endpoint: str) -> int:
    """Call an endpoint again and resume its paused deliveries. Return the number resumed.

    An endpoint whose breaker is open, or that asked to wait, is also called at once.

    Raises:
        NotFound: the endpoint is unknown.
    """
    name, now = _origin(endpoint), context.now()
    noticed = []
    with context.database.write() as connection:
        if not _is_known(connection, name):
            raise _unknown(name)
        if endpoints.enable(connection, name, now):
            noticed = [Notice(name, NoticeType.ENABLED, now, actor=context.actor)]
        resumed = unpause_deliveries(connection, name, now)
        notices.add(connection, noticed)
    tell(noticed)
    return resumed


def show(context: Context, endpoint: str) -> KnownEndpoint:
    """Return an endpoint.

    Raises:
        NotFound: it was never configured, never failed, has no backlog, and has not recently accepted a delivery.
    """
    name = _origin(endpoint)
    with context.database.read() as connection:
        row = endpoints.get(connection, name)
        took = find_recent(connection)
        (found,) = _endpoints(context, connection, {name: row or {}}, took)
    if row is None and not found.backlog and name not in took:
        raise _unknown(name)
    return found


def every(
    context: Context,
    *,
    state: str | None = None,
    after: str | None = None,
    limit: int | None = None,
    only: Collection[str] | None = None,
) -> list[KnownEndpoint]:
    """Return known endpoints in order of their names.

    Args:
        state: return only endpoints in this state.
        after: return only endpoints after this one; pass the last of one page to get the next.
        limit: maximum number.
        only: these endpoints, known or not; None: all that are known.

    Raises:
        InvalidInput: there is no such state, or `after` is not a URL.
    """
    known = [each.value for each in EndpointState]
    if state is not None and state not in known:
        raise InvalidInput(f"there is no endpoint state {state!r}; choose from {', '.join(known)}")
    behind = "" if after is None else _origin(after)
    with context.database.read() as connection:
        rows = {row["origin"]: row for row in endpoints.find_all(connection)}
        took = find_recent(connection)
        chosen = {*rows, *took, *backlog.find_origins(connection)} if only is None else only
        names = sorted(name for name in chosen if name > behind)
        wanted = (name for name in names if state is None or _is(context, rows.get(name, {}), state))
        return _endpoints(context, connection, {name: rows.get(name, {}) for name in islice(wanted, limit)}, took)


def unused(context: Context, endpoint: str) -> KnownEndpoint:
    """Return an endpoint at which nothing has happened yet."""
    return _endpoint(context, _origin(endpoint), {}, {}, None, [], RecentSuccesses())


def troubled(context: Context, limit: int) -> list[Troubled]:
    """Return at most `limit` endpoints that are failing or disabled, by name, without their backlog."""
    with context.database.read() as connection:
        found = endpoints.find_troubled(connection, limit)
    return [Troubled(row["origin"], _condition(context, row, locked=None)) for row in found]


def _endpoints(
    context: Context, connection: Connection, chosen: Mapping[str, Row], took: Mapping[str, RecentSuccesses]
) -> list[KnownEndpoint]:
    """Return endpoints by their rows, which may be empty, with a fixed number of statements."""
    names = list(chosen)
    waits, due = backlog.count_by_state(connection, names), backlog.find_oldest_due(connection, names)
    noticed = notices.find_newest(connection, names, MAX_NOTICES)
    return [
        _endpoint(
            context,
            name,
            row,
            waits.get(name, {}),
            due.get(name),
            noticed.get(name, []),
            took.get(name, RecentSuccesses()),
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
    took: RecentSuccesses,
) -> KnownEndpoint:
    own = described(row, context) if row else Described(name)
    return KnownEndpoint(
        origin=name,
        condition=_condition(context, row, locked=own.locked),
        settings={each: row.get(each) for each in SETTINGS},
        own=own,
        health=health.health_from_row(row) if row else Health(),
        disabled_at=row.get("disabled_at"),
        disabled_reason=row.get("disabled_reason"),
        backlog=waits,
        taken=took,
        oldest_due_at=due_at,
        notices=noticed,
        version=configured_version(row),
    )


def configured_version(row: Row) -> str:
    """Return a text that changes with what is configured in an endpoint's row, which may be empty."""
    values = [row.get(name) for name in (*SETTINGS, "secrets", "headers", "disabled_reason")]
    return hashlib.sha256(repr(values).encode()).hexdigest()[:16]


def _is(context: Context, row: Row, state: str) -> bool:
    locked = described(row, context).locked if row else None
    return _condition(context, row, locked=locked).state == state


def _condition(context: Context, row: Row, *, locked: str | None) -> Condition:
    at = row.get("disabled_at")
    disabled = None if at is None else (at, row["disabled_reason"])
    found = health.health_from_row(row) if row else Health()
    return condition(found, context.now(), disabled=disabled, locked=locked)


def _is_known(connection: Connection, name: str) -> bool:
    # There is no index on delivered rows by endpoint, so only the newest are scanned.
    return bool(
        endpoints.get(connection, name) or backlog.count_by_state(connection, [name]) or name in find_recent(connection)
    )


def _origin(endpoint: str) -> str:
    return parse_callback_url(endpoint, name="the endpoint").origin


def _line(reason: str) -> str:
    line = reason.strip() if isinstance(reason, str) else ""
    if not line or len(line) > MAX_REASON_LENGTH or not line.isprintable():
        raise InvalidInput(f"the reason is {shown(reason)}; expected one line of 1 to {MAX_REASON_LENGTH} characters")
    return line


def _unknown(name: str) -> NotFound:
    return NotFound(
        f"the endpoint {name} is unknown: it was never configured, never failed, has no backlog, and accepted none "
        f"of the newest {SCANNED_DELIVERIES:,} callbacks; "
        "`pipeline endpoints list` lists the known ones"
    )
