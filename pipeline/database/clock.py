"""The clock of the database server: leases mean the same to processes whose own clocks differ."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select

from pipeline.database.engine import Database


def seconds() -> float:
    """Return seconds that go on whatever becomes of this machine's date, and while it sleeps where that is known."""
    # Linux's monotonic clock stands still meanwhile, and leases with it.
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class DatabaseClock:
    """Tells the server's time: read now and then, carried on by this machine's own clock in between."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # The server's time and ours at one moment; one value, since threads read it while it is replaced.
        self._read = (datetime.now(UTC), seconds())
        self.synchronise()

    def __call__(self) -> datetime:
        server, own = self._read
        return server + timedelta(seconds=seconds() - own)

    def synchronise(self) -> None:
        """Read the server's clock; the answer is taken to be as old as half the time it took."""
        with self._database.read() as connection:
            before = seconds()
            server = connection.scalar(select(func.clock_timestamp()))
            after = seconds()
        if isinstance(server, datetime):
            self._read = (server.astimezone(UTC), (before + after) / 2)
