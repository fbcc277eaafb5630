"""The database: reachable, of the right version, writable, with room on its disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from pipeline.cli.checks.check import Check, fail, ok, unreachable, warn
from pipeline.cli.checks.endpoints import check_endpoints
from pipeline.cli.run.session import sqlite_file
from pipeline.database.engine import Database
from pipeline.database.schema import SchemaVersion, read_version
from pipeline.errors import PipelineError
from pipeline.settings import Settings

#: RETURNING came with 3.35.
_OLDEST_SQLITE = (3, 35)
#: A million items with their results take about as much.
_LITTLE_ROOM_BYTES = 2 * 1024**3
_NO_ROOM_BYTES = 50 * 1024**2


def check_database(chosen: Settings) -> Iterator[Check]:
    """Yield checks of the database; a SQLite file that does not exist is not made."""
    try:
        path = sqlite_file(chosen)
    except PipelineError as error:
        yield fail("database", str(error), "correct PIPELINE_DATABASE_URL")
        return
    if path is not None:
        yield from _room(path.parent)
    if path is not None and not path.exists():
        yield from _absent(path)
        return
    database = Database(chosen.database_url.get_secret_value())
    try:
        yield from _opened(chosen, database)
    except (PipelineError, SQLAlchemyError) as error:
        # The driver's own words: they hold no URL, hence no secret.
        said = str(getattr(error.__cause__ or error, "orig", None) or error).partition("\n")[0]
        if database.is_sqlite:
            yield fail("database", str(error), "correct PIPELINE_DATABASE_URL, or what hinders it")
        else:
            yield unreachable("database", said, "start it, or correct PIPELINE_DATABASE_URL")
    finally:
        database.close()


def _opened(chosen: Settings, database: Database) -> Iterator[Check]:
    yield from _server(database)
    found = read_version(database)
    yield _version(found, is_embedded=chosen.is_embedded and database.is_sqlite)
    if found.database is not None:
        yield _writable(database)
    if found.is_current:
        yield from check_endpoints(chosen, database)


def _absent(path: Path) -> Iterator[Check]:
    yield ok("database", f"{path} does not exist; the first run makes it")
    if path.parent.is_dir() and not os.access(path.parent, os.W_OK):
        yield fail("writable", f"{path.parent} is read-only", "give this user the right to write to the folder")


def _server(database: Database) -> Iterator[Check]:
    with database.read() as connection:
        found = connection.dialect.server_version_info or ()
        name = f"{connection.dialect.name} {'.'.join(map(str, found))}"
        if not database.is_sqlite:
            yield ok("database", name)
            return
        mode = connection.scalar(text("PRAGMA journal_mode"))
    if found < _OLDEST_SQLITE:
        yield fail("database", name, "pipeline needs SQLite 3.35 or later: use a newer Python")
    else:
        yield ok("database", name)
    if mode == "wal":
        yield ok("journal mode", mode)
    else:
        yield warn("journal mode", mode, "readers wait for writers; put it on a local disk, where WAL works")


def _version(found: SchemaVersion, *, is_embedded: bool) -> Check:
    if found.is_current:
        return ok("schema", found.program)
    shown = f"{found.database or 'empty'}, this program needs {found.program}"
    if is_embedded and (found.database or "") < found.program:
        return ok("schema", f"{shown}; the next run upgrades it")
    return fail("schema", shown, "`pipeline db upgrade`, or a newer program where the database is newer")


def _writable(database: Database) -> Check:
    try:
        with database.write() as connection:
            # No row has this version: nothing changes, but the right to write is asked for.
            connection.execute(text("DELETE FROM alembic_version WHERE version_num = ''"))
    except (PipelineError, SQLAlchemyError) as error:
        return fail("writable", str(getattr(error, "orig", error)), "give this user the right to write to the database")
    return ok("writable", "yes")


def _room(folder: Path) -> Iterator[Check]:
    if not folder.is_dir():
        yield fail("disk", f"there is no folder {folder}", "make it, or correct PIPELINE_DATABASE_URL")
        return
    free = shutil.disk_usage(folder).free
    shown = f"{free / 1024**3:,.1f} GiB free in {folder}"
    if free < _NO_ROOM_BYTES:
        yield fail("disk", shown, "make room, or name another place in PIPELINE_DATABASE_URL")
    elif free < _LITTLE_ROOM_BYTES:
        yield warn("disk", shown, "a million items take about 2 GiB")
    else:
        yield ok("disk", shown)
