"""Tell channels that the database cannot be used, which needs no database. One process of a host does so."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pipeline.alerts.episodes import record_past
from pipeline.alerts.rules.channel import AlertSettings
from pipeline.alerts.rules.episode import ALERT_PREFIX, Episode
from pipeline.alerts.rules.message import AlertEventType, alert_body
from pipeline.database.engine import Database
from pipeline.delivery.alerts.send_now import DirectSender
from pipeline.domain.ids import WEBHOOK_PREFIX
from pipeline.log import get_logger

log = get_logger(__name__)

_NAME = "database_unreachable"
#: Attempts to tell a channel, and seconds before the second one, doubled each time.
TRIES, FIRST_PAUSE_SECONDS = 5, 1.0


class DatabaseOutage:
    """One outage of the database after the other.

    The id of the alert is the same on every host, so that what groups alerts by it shows one.

    Args:
        now: the clock; without the database it goes on from the last synchronisation.
        wait: waits so many seconds; returns whether the process stops.
    """

    def __init__(
        self,
        database: Database,
        settings: Callable[[], AlertSettings],
        sender: DirectSender,
        now: Callable[[], datetime],
        wait: Callable[[float], bool],
    ) -> None:
        place = database.url.render_as_string(hide_password=True)
        self._digest = hashlib.sha256(f"{_NAME} {place}".encode()).hexdigest()[:20]
        self._database = database
        self._settings = settings
        self._sender = sender
        self._now = now
        self._wait = wait
        self._lock: int | None = None
        self._began_at: datetime | None = None

    def began(self, silent_seconds: float) -> None:
        """Tell that the database has not answered for so long, unless another process of this host does."""
        if not self._settings().rules[_NAME].is_enabled or not self._take_lock():
            return
        now = self._now()
        self._began_at = now - timedelta(seconds=silent_seconds)
        self._tell(AlertEventType.FIRING, self._row(self._began_at, None))

    def ended(self) -> None:
        """Tell that it is back, and record the outage there, if this process told of it."""
        if self._lock is None or self._began_at is None:
            return
        now = self._now()
        self._tell(AlertEventType.RESOLVED, self._row(self._began_at, now))
        try:
            with self._database.write() as connection:
                record_past(connection, self._episode(self._began_at), self._began_at, now)
        finally:
            self._release_lock()

    def close(self) -> None:
        """Leave the outage to another process of this host."""
        self._release_lock()

    def _episode(self, began_at: datetime) -> Episode:
        since = began_at.isoformat(timespec="seconds")
        severity = self._settings().rules[_NAME].severity
        return Episode(_NAME, _NAME, severity, f"the database has not answered since {since}")

    def _row(self, began_at: datetime, ended_at: datetime | None) -> Mapping[str, Any]:
        episode = self._episode(began_at)
        return {
            "public_id": ALERT_PREFIX + self._digest,
            "name": episode.name,
            "key": episode.key,
            "severity": episode.severity.value,
            "summary": episode.summary,
            "batch": None,
            "definition": None,
            "origin": None,
            "value": "{}",
            "opened_at": began_at,
            "resolved_at": ended_at,
            "reason": None if ended_at is None else "over",
        }

    def _tell(self, event_type: AlertEventType, row: Mapping[str, Any]) -> None:
        settings = self._settings()
        if event_type is AlertEventType.FIRING:
            log.warning("alert_firing", alert=row["public_id"], rule=_NAME, summary=row["summary"])
        else:
            log.info("alert_resolved", alert=row["public_id"], rule=_NAME, reason="over")
        body = alert_body(row, event_type, self._now(), settings.page_url)
        waiting = [each for each in settings.channels.values() if each.takes(_NAME, row["severity"], None, None)]
        # The same at each attempt, another one for each outage and for its end.
        webhook_id = f"{WEBHOOK_PREFIX}{self._digest}{int(row['opened_at'].timestamp())}{event_type.name.lower()}"
        for number in range(TRIES):
            answers = self._sender.send(waiting, body, webhook_id)
            waiting = [each for each in waiting if not answers[each.name].is_success]
            if not waiting or self._wait(FIRST_PAUSE_SECONDS * 2**number):
                break
        for each in waiting:
            log.error("alert_not_sent", channel=each.name, alert=row["public_id"], code=answers[each.name].code)

    def _take_lock(self) -> bool:
        path = Path(tempfile.gettempdir()) / f"pipeline-alerts-{os.getuid()}-{self._digest}.lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._lock = descriptor
        return True

    def _release_lock(self) -> None:
        if self._lock is not None:
            with suppress(OSError):
                os.close(self._lock)
        self._lock = self._began_at = None
