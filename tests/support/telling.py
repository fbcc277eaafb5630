"""Alerts that fire and end, and who tells channels of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pipeline.alerts.alerts_source import AlertsSource
from pipeline.alerts.episodes import open_episode, resolve_episode
from pipeline.alerts.rules.episode import Episode, Severity
from pipeline.alerts.sql import alerts
from pipeline.database.engine import Database
from pipeline.delivery.alerts.announce import Announcer
from pipeline.delivery.sender.sender import Sender
from tests.support.receivers.owed import SECRET, options, wait_until

KEY = "batch_late:b"


def utc_now() -> datetime:
    return datetime.now(UTC)


def fire(database: Database, key: str = KEY, severity: Severity = Severity.CRITICAL) -> str:
    episode = Episode(key.partition(":")[0], key, severity, "batch <b> & others are late", value={"seconds": 7})
    with database.write() as connection:
        alert_id = open_episode(connection, episode, utc_now())
    assert alert_id is not None
    return alert_id


def end(database: Database, key: str = KEY) -> None:
    with database.write() as connection:
        assert resolve_episode(connection, key, "over", utc_now())


class Telling:
    """An announcer and a sender, as a process for `control` and `deliver` has them."""

    def __init__(self, database: Database, source: AlertsSource) -> None:
        self.database, self.source = database, source
        self.announcer = Announcer(database, utc_now, source.current)

    def tell(self) -> None:
        """Send until channels know all that they can know."""
        self.announcer.announce()
        self.sender.wake()
        wait_until(self._is_done)

    def _is_done(self) -> bool:
        if self.announcer.announce():
            self.sender.wake()
        with self.database.read() as connection:
            query = "SELECT count(*) FROM deliveries WHERE state IN ('pending', 'sending')"
            is_sent = connection.exec_driver_sql(query).scalar_one() == 0
            return is_sent and all(row["announce"] is None for row in alerts.find_page(connection, 100))


@contextmanager
def telling(database: Database, folder: Path, text: str, **environ: str) -> Iterator[Telling]:
    path = folder / "alerts.toml"
    path.write_text(text)
    found = Telling(database, AlertsSource(path, can_sign=True))
    found.sender = Sender(
        database, [SECRET], worker="sender-1", options=options(deadline=5), alerts=found.source.current
    )
    found.sender.start()
    try:
        yield found
    finally:
        found.sender.stop(0)
