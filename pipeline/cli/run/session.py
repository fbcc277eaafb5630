"""The database that a command works on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline import settings
from pipeline.bootstrap import make_context
from pipeline.cli.run import log_output
from pipeline.context import Context
from pipeline.database.engine import Database
from pipeline.database.sqlite import database_file
from pipeline.errors import NotFound
from pipeline.settings import Settings


@contextmanager
def opened(*, may_create: bool = False) -> Iterator[Context]:
    """What services work with, on the database of the settings; it is closed at the end.

    Raises:
        NotFound: it is a SQLite file that does not exist: a command that only looks makes none.
        InvalidSettings, Unreachable, WrongSchema
    """
    log_output.show()
    chosen = settings.load()
    if not may_create:
        refuse_missing(chosen)
    context = make_context(chosen)
    try:
        yield context
    finally:
        context.database.close()


def sqlite_file(chosen: Settings) -> Path | None:
    """Return the file of a SQLite database; None where it is on a server."""
    return database_file(Database(chosen.database_url.get_secret_value()).url)


def refuse_missing(chosen: Settings) -> None:
    """Raise `NotFound` where the database is a SQLite file that does not exist: opening it would make one."""
    path = sqlite_file(chosen)
    if path is not None and not path.exists():
        raise NotFound(
            f"there is no database {path}; `pipeline run` or `pipeline submit` makes one, and PIPELINE_DATABASE_URL "
            "names another"
        )
