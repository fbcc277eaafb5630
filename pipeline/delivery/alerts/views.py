"""Alerts for people: which fire, what happened, where they were sent, and ending one by hand."""

from __future__ import annotations

from typing import Any

from pipeline.alerts.rules.episode import ALERT_PREFIX
from pipeline.alerts.rules.message import AlertEventType, alert_data, event_seq
from pipeline.alerts.sql import alerts
from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.delivery.sql import alert_deliveries
from pipeline.domain.event import format_timestamp
from pipeline.errors import Conflict, NotFound

#: Reason of an alert that somebody resolved.
MANUAL = "manual"


def list_alerts(context: Context, limit: int, *, with_resolved: bool = False) -> list[dict[str, Any]]:
    """Return the alerts that fire, newest first, or all.

    Args:
        limit: at most this many.
    """
    with context.database.read() as connection:
        found = alerts.find_page(connection, limit) if with_resolved else alerts.find_firing(connection, limit)
    return [alert_view(row) for row in found]


def page_alerts(
    context: Context, limit: int, before: int | None, *, with_resolved: bool, tenant: str | None
) -> list[Row]:
    """Return rows of alerts, newest first, below a row id.

    Args:
        tenant: only alerts about its batches; None: all.
    """
    with context.database.read() as connection:
        return alerts.find_page(connection, limit, before, tenant=tenant, only_firing=not with_resolved)


def firing_of_batch(context: Context, batch_id: int) -> list[Row]:
    """Return the rows of the alerts about a batch that fire, newest first."""
    with context.database.read() as connection:
        return [row for row in alerts.find_firing(connection) if row["batch_id"] == batch_id]


def show_alert(context: Context, alert_id: str, tenant: str | None = None) -> dict[str, Any]:
    """Return an alert with what became of it at each channel.

    Args:
        alert_id: its id, or the beginning of it.
        tenant: it is about a batch of this tenant; None: any.

    Raises:
        NotFound: no alert has it, or several begin with it.
    """
    row = _find(context, alert_id, tenant)
    events = {event_seq(row["id"], each): each for each in AlertEventType}
    with context.database.read() as connection:
        sent = alert_deliveries.find_with_answers(connection, list(events))
    return alert_view(row) | {
        "channels": [
            {
                "channel": each["origin"].rpartition("/")[2],
                "event": events[each["seq"]].value,
                "state": each["state"],
                "attempts": each["attempt"],
                "status": each["last_status"],
                "error": each["last_error"],
                "finished_at": format_timestamp(each["finished_at"]),
            }
            for each in sent
        ]
    }


def resolve_alert(context: Context, alert_id: str, tenant: str | None = None) -> dict[str, Any]:
    """Resolve an alert that fires. If its condition is still met, another one fires after the next looks.

    Args:
        tenant: it is about a batch of this tenant; None: any.

    Raises:
        NotFound: there is no such alert.
        Conflict: it is resolved already.
    """
    row = _find(context, alert_id, tenant)
    with context.database.write() as connection:
        is_done = alerts.resolve_by_id(connection, row["public_id"], MANUAL, context.now(), context.actor)
    if not is_done:
        raise Conflict(f"alert {row['public_id']} is resolved already")
    return alert_view(_find(context, row["public_id"], tenant))


def alert_view(row: Row) -> dict[str, Any]:
    """Return an alert as callers see it."""
    return alert_data(row) | {"state": row["state"], "resolved_by": row["resolved_by"]}


def _find(context: Context, alert_id: str, tenant: str | None) -> Row:
    prefix = alert_id if alert_id.startswith(ALERT_PREFIX) else ALERT_PREFIX + alert_id
    with context.database.read() as connection:
        found = alerts.find_by_prefix(connection, prefix, tenant=tenant)
    if len(found) != 1:
        reason = "several alerts have an id that begins so" if found else "`pipeline alerts list --all` shows their ids"
        raise NotFound(f"there is no alert {alert_id!r}; {reason}")
    return found[0]
