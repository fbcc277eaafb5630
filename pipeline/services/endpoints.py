"""Endpoints for people: configured, disabled and enabled, looked at."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from pipeline.domain.callback import origin
from pipeline.domain.delivery import DisabledReason
from pipeline.domain.endpoint import SETTINGS, check_settings, check_together
from pipeline.domain.health import Health
from pipeline.domain.notice import Notice, NoticeType
from pipeline.errors import NotFound
from pipeline.services.context import Context
from pipeline.services.notices import tell
from pipeline.storage import backlog, deliveries, endpoints, health, notices
from pipeline.storage.row import Row

#: Notices that are shown, newest first.
SHOWN_NOTICES = 20


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What is known of an endpoint.

    Args:
        settings: what is configured, by name; None: the default.
        backlog: deliveries that wait or were given up, by state.
        oldest_due_at: since when the first of its pending deliveries is due, or when it will be.
        notices: what happened to it, newest first.
    """

    origin: str
    settings: dict[str, Any]
    health: Health
    disabled_at: datetime | None
    disabled_reason: str | None
    backlog: dict[str, int]
    oldest_due_at: datetime | None
    notices: list[Row]

    @property
    def state(self) -> str:
        """`disabled`, or what its breaker is: `closed`, `open`, `half_open`."""
        return "disabled" if self.disabled_at is not None else self.health.breaker.state.value


def configure(context: Context, endpoint: str, **settings: Any) -> Endpoint:
    """Change settings of an endpoint, from its next attempt on; None sets the default again.

    Args:
        endpoint: `scheme://host:port`, or any URL of it. It need not have been called yet.
        settings: schedule, rate, burst, in_flight_cap, ordering, max_block_seconds, coalesce_items, coalesce_ms.

    Raises:
        InvalidInput: there is no such setting, or its value cannot be used.
    """
    name, checked, now = origin(endpoint), check_settings(settings), context.now()
    with context.database.write() as connection:
        health.make_known(connection, [name], now)
        (row,) = endpoints.lock(connection, [name])
        check_together({each: row[each] for each in SETTINGS} | checked)
        endpoints.change(connection, name, checked, now)
    return show(context, name)


def disable(context: Context, endpoint: str) -> int:
    """Call an endpoint no more; what is owed to it is paused and kept. Return how many deliveries that are."""
    name, now = origin(endpoint), context.now()
    noticed = []
    with context.database.write() as connection:
        if endpoints.disable(connection, name, DisabledReason.MANUAL.value, now):
            noticed = [Notice(name, NoticeType.DISABLED, now, DisabledReason.MANUAL.value)]
        paused = deliveries.pause(connection, [name])
        notices.add(connection, noticed)
    tell(noticed)
    return paused


def enable(context: Context, endpoint: str) -> int:
    """Call an endpoint again, and send what was paused for it. Return how many deliveries that are.

    An endpoint that is only left alone for a while, since its breaker is open or since it asked for it, is called at
    once as well.
    """
    name, now = origin(endpoint), context.now()
    noticed = []
    with context.database.write() as connection:
        if endpoints.enable(connection, name, now):
            noticed = [Notice(name, NoticeType.ENABLED, now)]
        resumed = deliveries.unpause(connection, name, now)
        notices.add(connection, noticed)
    tell(noticed)
    return resumed


def show(context: Context, endpoint: str) -> Endpoint:
    """Return what is known of an endpoint.

    Raises:
        NotFound: it was never configured and never failed, and nothing is owed to it.
    """
    name = origin(endpoint)
    with context.database.read() as connection:
        row = endpoints.get(connection, name)
        found = backlog.counts(connection, name)
        if row is None and not found:
            raise NotFound(f"there is no endpoint {name}; `pipeline endpoints list` lists them")
        return _endpoint(connection, name, row or {}, found)


def every(context: Context) -> list[Endpoint]:
    """Return every endpoint that was ever configured or failed, or that something is owed to, by name."""
    with context.database.read() as connection:
        rows = {row["origin"]: row for row in endpoints.known(connection)}
        names = sorted({*rows, *backlog.origins(connection)})
        return [_endpoint(connection, name, rows.get(name, {}), backlog.counts(connection, name)) for name in names]


def _endpoint(connection: Connection, name: str, row: Row, counts: dict[str, int]) -> Endpoint:
    return Endpoint(
        origin=name,
        settings={each: row.get(each) for each in SETTINGS},
        health=health.of_row(row) if row else Health(),
        disabled_at=row.get("disabled_at"),
        disabled_reason=row.get("disabled_reason"),
        backlog=counts,
        oldest_due_at=backlog.oldest_due_at(connection, name),
        notices=notices.newest(connection, name, SHOWN_NOTICES),
    )
