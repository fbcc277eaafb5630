"""The database that a command uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.bootstrap import make_context
from pipeline.cli.run.log_output import configure_logging
from pipeline.context import Context
from pipeline.database.engine import Database
from pipeline.database.sqlite import database_file
from pipeline.errors import NotFound
from pipeline.settings import Settings
from pipeline.settings import load as load_settings


@contextmanager
def open_context(*, may_create: bool = False) -> Iterator[Context]:
    """Load the settings, open their database, and close it at the end.

    Args:
        may_create: create a SQLite file that does not exist; commands that only read must not.

    Raises:
        NotFound: the SQLite file does not exist.
        InvalidSettings, Unreachable, WrongSchema
    """
    configure_logging()
    settings = load_settings()
    if not may_create:
        require_database(settings)
    context = make_context(settings)
    try:
        yield context
    finally:
        context.database.close()


@contextmanager
def open_database(settings: Settings) -> Iterator[Database]:
    """Open the database, regardless of its schema version, and close it at the end."""
    database = Database(settings.database_url.get_secret_value())
    try:
        yield database
    finally:
        database.close()


def sqlite_file(settings: Settings) -> Path | None:
    """Return the file of a SQLite database; None for a database server."""
    with open_database(settings) as database:
        return database_file(database.url)


def require_database(settings: Settings) -> None:
    """Raise `NotFound` if the database is a SQLite file that does not exist: opening it would create it."""
    path = sqlite_file(settings)
    if path is not None and not path.exists():
        raise NotFound(
            f"there is no database {path}; create it with `pipeline run` or `pipeline submit`, or set "
            "PIPELINE_DATABASE_URL to another"
        )
