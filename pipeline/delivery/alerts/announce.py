"""Tell channels what changed about alerts: an event in the installation's own log, and a delivery for each channel.

The log is that of batch 0, which does not exist. An alert that is over is told to the channels that were told that it
fires, each after it has accepted that: a receiver never hears of the end first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from pipeline.alerts.episodes import open_episode
from pipeline.alerts.evaluate import STORM_WITHIN, find_storm
from pipeline.alerts.rules.channel import AlertChannel, AlertSettings
from pipeline.alerts.rules.episode import AlertState
from pipeline.alerts.rules.message import AlertEventType, alert_body, alert_data, event_seq
from pipeline.alerts.sql import alerts
from pipeline.batches.sql import events
from pipeline.database.engine import Database
from pipeline.database.row import Row
from pipeline.delivery.rules.delivery import DeliveryState
from pipeline.delivery.sql import alert_deliveries, owe
from pipeline.log import get_logger

log = get_logger(__name__)

#: Alerts told of in one transaction.
_PAGE = 100
#: The log of the installation.
LOG = 0
#: How long resolved alerts are kept, with their events and deliveries.
KEPT_FOR = timedelta(days=30)


class Announcer:
    """Tells channels of alerts. Any number of processes may do so at once; each change is told once.

    Args:
        settings: returns what `PIPELINE_ALERTS` says now.
    """

    def __init__(self, database: Database, now: Callable[[], datetime], settings: Callable[[], AlertSettings]) -> None:
        self._database = database
        self._now = now
        self._settings = settings

    def announce(self) -> int:
        """Owe what channels have yet to be told. Return the number of deliveries."""
        with self._database.read() as connection:
            if not alerts.has_to_announce(connection):
                return 0
        told: list[tuple[Row, AlertEventType]] = []
        now, settings = self._now(), self._settings()
        with self._database.write() as connection:
            changes = _Changes(connection, settings, now, told)
            for row in alerts.find_to_announce(connection, _PAGE):
                changes.tell(row)
        for row, event_type in told:
            _log(row, event_type)
        return changes.owed

    def find_told(self, channel: AlertChannel) -> list[dict[str, Any]]:
        """Return the data of the alerts that fire and that a channel has accepted."""
        with self._database.read() as connection:
            rows = {event_seq(row["id"], AlertEventType.FIRING): row for row in alerts.find_firing(connection)}
            told = alert_deliveries.find_delivered(connection, channel.origin, list(rows)) if rows else []
        return [alert_data(rows[seq], self._settings().page_url) for seq in told]

    def prune(self) -> int:
        """Delete alerts that were resolved 30 days ago. Return their number."""
        with self._database.write() as connection:
            old = alerts.prune(connection, self._now() - KEPT_FOR, _PAGE)
            if old:
                seqs = [event_seq(id_, each) for id_ in old for each in AlertEventType]
                alert_deliveries.delete_events(connection, seqs)
        return len(old)


class _Changes:
    """What one transaction tells."""

    def __init__(
        self, connection: Connection, settings: AlertSettings, now: datetime, told: list[tuple[Row, AlertEventType]]
    ) -> None:
        self._connection, self._settings, self._now, self._told = connection, settings, now, told
        self.owed = 0

    def tell(self, row: Row) -> None:
        if row["announce"] == AlertState.FIRING.value:
            self._fires(row)
        else:
            self._is_over(row)

    def _fires(self, row: Row) -> None:
        if row["name"] == "many_alerts" or not self._is_storm():
            channels = [each for each in self._settings.channels.values() if self._takes(each, row)]
            self._owe(row, AlertEventType.FIRING, channels)
        following = AlertState.RESOLVED if row["state"] == AlertState.RESOLVED.value else None
        alerts.set_announce(self._connection, row["id"], following)

    def _takes(self, channel: AlertChannel, row: Row) -> bool:
        return channel.takes(row["name"], row["severity"], row["definition"], row["origin"])

    def _is_storm(self) -> bool:
        rule = self._settings.rules["many_alerts"]
        if not rule.is_enabled:
            return False
        since = self._now - STORM_WITHIN
        told = alert_deliveries.count_events(self._connection, AlertEventType.FIRING.value, since)
        if told < rule.thresholds["alerts"]:
            return False
        episode = find_storm(self._connection, self._settings, self._now)
        if episode is not None:
            open_episode(self._connection, episode, self._now)
        return True

    def _is_over(self, row: Row) -> None:
        found = alert_deliveries.find_of(self._connection, event_seq(row["id"], AlertEventType.FIRING))
        told = {url for url, state in found if state == DeliveryState.DELIVERED.value}
        is_waiting = any(state in (DeliveryState.PENDING.value, DeliveryState.SENDING.value) for _, state in found)
        after = event_seq(row["id"], AlertEventType.RESOLVED)
        already = {url for url, _ in alert_deliveries.find_of(self._connection, after)}
        channels = [each for each in self._settings.channels.values() if each.origin in told - already]
        self._owe(row, AlertEventType.RESOLVED, channels)
        if not is_waiting:
            alerts.set_announce(self._connection, row["id"], None)

    def _owe(self, row: Row, event_type: AlertEventType, channels: Sequence[AlertChannel]) -> None:
        seq = event_seq(row["id"], event_type)
        is_told = event_type is AlertEventType.RESOLVED and not alert_deliveries.has_event(
            self._connection, event_seq(row["id"], AlertEventType.FIRING)
        )
        if not is_told and not alert_deliveries.has_event(self._connection, seq):
            body = alert_body(row, event_type, self._now, self._settings.page_url)
            added: dict[str, Any] = {"seq": seq, "type": event_type.value, "item_id": None, "body": body}
            events.add(self._connection, LOG, [added], self._now)
            self._told.append((row, event_type))
        for channel in channels:
            alert_deliveries.set_rate(self._connection, channel.origin, channel.rate, self._now)
        deliveries = [{"seq": seq, "url": each.origin, "origin": each.origin} for each in channels]
        owe.add_deliveries(self._connection, LOG, deliveries, self._now)
        self.owed += len(deliveries)


def _log(row: Row, event_type: AlertEventType) -> None:
    fields = {
        "alert": row["public_id"],
        "rule": row["name"],
        "severity": row["severity"],
        "batch": row["batch"],
        "summary": row["summary"],
    }
    if event_type is AlertEventType.FIRING:
        log.warning("alert_firing", **fields)
    else:
        log.info("alert_resolved", **fields, reason=row["reason"])
