"""Open and resolve episodes of alerts, in the transaction of what they are about."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection

from pipeline.alerts.sql import episodes
from pipeline.domain.alerts.alert import Severity
from pipeline.domain.ids import new_alert_id
from pipeline.log import get_logger

log = get_logger(__name__)


def open_episode(
    connection: Connection,
    key: str,
    *,
    name: str,
    severity: Severity,
    summary: str,
    now: datetime,
    batch_id: int | None = None,
    origin: str | None = None,
    value: Mapping[str, Any] | None = None,
) -> str | None:
    """Open an episode of an alert, unless one with this key is open.

    Args:
        key: what the alert is about; at most one episode of it is open, whichever processes open it.
        name: the rule that fires.
        summary: one sentence for people.
        batch_id: the row of the batch that it is about.
        origin: the endpoint that it is about.
        value: what was measured, and what is tolerated.

    Returns:
        The alert's public id; None if an episode of the key was open already.
    """
    public_id = new_alert_id()
    row = {
        "public_id": public_id,
        "name": name,
        "key": key,
        "severity": severity.value,
        "batch_id": batch_id,
        "origin": origin,
        "value": orjson.dumps(dict(value or {})).decode(),
        "summary": summary,
        "opened_at": now,
    }
    if not episodes.insert_firing(connection, row):
        return None
    log.warning("alert_firing", alert=public_id, rule=name, key=key, severity=severity.value, summary=summary)
    return public_id


def resolve_episode(connection: Connection, key: str, *, now: datetime, reason: str) -> bool:
    """Resolve the open episode of a key. Return False if there is none.

    Args:
        reason: why it is over, such as `recovered`, `resumed` or `batch_ended`.
    """
    found = episodes.resolve(connection, key, now, reason)
    if found is None:
        return False
    log.info("alert_resolved", alert=found["public_id"], rule=found["name"], key=key, reason=reason)
    return True


def resolve_episodes_of(connection: Connection, batch_id: int, *, now: datetime, reason: str) -> int:
    """Resolve every open episode about a batch. Return their number."""
    keys = episodes.find_firing_keys(connection, batch_id)
    return sum(resolve_episode(connection, key, now=now, reason=reason) for key in keys)
