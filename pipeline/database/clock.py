"""The clock of the database server, so that leases mean the same to processes whose own clocks differ."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select

from pipeline.database.engine import Database


def monotonic_seconds() -> float:
    """Return seconds that no change of the system clock affects. On Linux they include time spent asleep."""
    # Linux's own monotonic clock stops during sleep, and leases would stop with it.
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class DatabaseClock:
    """Tells the server's time: read now and then, and carried on by this machine's monotonic clock."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # The server's time and ours at one moment. A single value, since other threads read it while it is replaced.
        self._reading = (datetime.now(UTC), monotonic_seconds())
        self.synchronise()

    def __call__(self) -> datetime:
        server, ours = self._reading
        return server + timedelta(seconds=monotonic_seconds() - ours)

    def synchronise(self) -> None:
        """Read the server's clock. The answer is assumed to be as old as half the time the query took."""
        with self._database.read() as connection:
            before = monotonic_seconds()
            server = connection.scalar(select(func.clock_timestamp()))
            after = monotonic_seconds()
        if isinstance(server, datetime):
            self._reading = (server.astimezone(UTC), (before + after) / 2)
