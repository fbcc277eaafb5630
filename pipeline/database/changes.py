"""Find out cheaply whether a database may have changed, for whoever polls it."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import suppress
from typing import Protocol

#: Seconds between two looks at a SQLite file, which cost microseconds.
SQLITE_SECONDS = 0.02
#: Seconds between two looks at a server: while something happens, soon after, and at rest.
SERVER_SECONDS = ((2.0, 0.05), (10.0, 0.1), (float("inf"), 0.25))


class ChangeProbe(Protocol):
    """Tells whether asking the database anew can have another answer than before."""

    def has_changed(self) -> bool:
        """Return whether anything may have been committed since the last call. The first call returns True.

        Raises:
            sqlite3.Error: the file cannot be read at the moment.
        """

    def pause_seconds(self, quiet_seconds: float) -> float:
        """Return how long to wait before the next call, when nothing has changed for `quiet_seconds`."""

    def close(self) -> None:
        """Give back what the probe holds. The next call opens it again."""


class SQLiteChanges:
    """Compares SQLite's number of the last commit of other connections, on a connection of its own.

    Args:
        file: as `sqlite3.connect` takes it.
    """

    def __init__(self, file: str, *, is_uri: bool) -> None:
        self._file, self._is_uri = file, is_uri
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._version: int | None = None

    def has_changed(self) -> bool:
        with self._lock:
            if self._connection is None:
                self._connection = sqlite3.connect(
                    self._file, uri=self._is_uri, isolation_level=None, check_same_thread=False
                )
            seen, self._version = self._version, None
            (found,) = self._connection.execute("PRAGMA data_version").fetchone()
            self._version = found
            return bool(seen != found)

    def pause_seconds(self, quiet_seconds: float) -> float:
        return SQLITE_SECONDS

    def close(self) -> None:
        """Close the connection. Numbers of two connections cannot be compared: the next call returns True."""
        with self._lock:
            connection, self._connection, self._version = self._connection, None, None
            if connection is not None:
                with suppress(sqlite3.Error):
                    connection.close()


class AlwaysChanged:
    """For a server: it has no cheaper answer than that of the question itself."""

    def has_changed(self) -> bool:
        return True

    def pause_seconds(self, quiet_seconds: float) -> float:
        return next(pause for quiet, pause in SERVER_SECONDS if quiet_seconds < quiet)

    def close(self) -> None:
        """Do nothing: it holds nothing."""
