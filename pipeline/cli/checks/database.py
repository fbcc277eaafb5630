"""Checks of the database: reachable, of the right version, writable, and with enough disk space."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from pipeline.bootstrap import context_on
from pipeline.cli.checks.check import Check, fail, ok, unreachable, warn
from pipeline.cli.checks.endpoints import check_endpoints
from pipeline.cli.checks.queues import check_queues
from pipeline.cli.run.session import sqlite_file
from pipeline.context import utc_now
from pipeline.database import leases
from pipeline.database.engine import Database
from pipeline.database.schema import SchemaVersion, read_version
from pipeline.errors import PipelineError, Unreachable
from pipeline.settings import Settings

#: The first version with RETURNING.
_OLDEST_SQLITE = (3, 35)
#: About the space of a million items with their results.
_LOW_SPACE_BYTES = 2 * 1024**3
_NO_SPACE_BYTES = 50 * 1024**2
#: Shorter than for commands that have to write: a check should answer soon.
LOCK_SECONDS = 5.0


def check_database(settings: Settings, *, lock_seconds: float = LOCK_SECONDS) -> Iterator[Check]:
    """Yield checks of the database. A missing SQLite file is not created.

    Args:
        lock_seconds: how long to wait for a program that has locked the database.
    """
    try:
        path = sqlite_file(settings)
    except PipelineError as error:
        yield fail("database", str(error), "correct PIPELINE_DATABASE_URL")
        return
    if path is not None:
        yield from _disk_space(path.parent)
    if path is not None and not path.exists():
        yield from _missing_file(path)
        return
    database = Database(settings.database_url.get_secret_value(), lock_seconds=lock_seconds)
    try:
        yield from _open_database_checks(settings, database)
    except (PipelineError, SQLAlchemyError) as error:
        # The message of the driver contains no URL and therefore no secret.
        message = str(getattr(error.__cause__ or error, "orig", None) or error).partition("\n")[0]
        if database.is_sqlite:
            yield fail("database", str(error), "fix the problem, or correct PIPELINE_DATABASE_URL")
        else:
            yield unreachable("database", message, "start it, or correct PIPELINE_DATABASE_URL")
    finally:
        database.close()


def _open_database_checks(settings: Settings, database: Database) -> Iterator[Check]:
    yield from _server(database)
    schema = read_version(database)
    yield _version(schema, is_embedded=settings.is_embedded and database.is_sqlite)
    if schema.database is not None:
        yield _writable(database)
    if schema.is_current:
        context = context_on(settings, database)
        yield from check_endpoints(context)
        yield from check_queues(context)


def _missing_file(path: Path) -> Iterator[Check]:
    yield ok("database", f"{path} does not exist; the first run creates it")
    if path.parent.is_dir() and not os.access(path.parent, os.W_OK):
        yield fail("writable", f"{path.parent} is read-only", "give this user write permission for the folder")


def _server(database: Database) -> Iterator[Check]:
    with database.read() as connection:
        server = connection.dialect.server_version_info or ()
        name = f"{connection.dialect.name} {'.'.join(map(str, server))}"
        if not database.is_sqlite:
            yield ok("database", name)
            return
        mode = connection.scalar(text("PRAGMA journal_mode"))
    if server < _OLDEST_SQLITE:
        yield fail("database", name, "install a Python with SQLite 3.35 or later")
    else:
        yield ok("database", name)
    if mode == "wal":
        yield ok("journal mode", mode)
    else:
        yield warn("journal mode", mode, "readers block writers; use a local disk, which supports WAL")


def _version(schema: SchemaVersion, *, is_embedded: bool) -> Check:
    if schema.is_current:
        return ok("schema", schema.program)
    versions = f"{schema.database or 'empty'}, this program needs {schema.program}"
    if is_embedded and (schema.database or "") < schema.program:
        return ok("schema", f"{versions}; the next run upgrades it")
    return fail("schema", versions, "run `pipeline db upgrade`; if the database is newer, install a newer pipeline")


def _writable(database: Database) -> Check:
    now = utc_now()
    try:
        with database.write() as connection:
            # Really written: a full disk is not noticed otherwise.
            leases.acquire(connection, "doctor", "doctor", now=now, until=now)
            leases.delete_lease(connection, "doctor")
    except Unreachable as error:
        problem, _, advice = str(error).partition("; ")
        return fail("writable", problem, advice or "see the log of the database server")
    except (PipelineError, SQLAlchemyError) as error:
        return fail("writable", str(getattr(error, "orig", error)), "give this user write permission for the database")
    return ok("writable", "yes")


def _disk_space(folder: Path) -> Iterator[Check]:
    if not folder.is_dir():
        yield fail("disk", f"there is no folder {folder}", "create it, or correct PIPELINE_DATABASE_URL")
        return
    free = shutil.disk_usage(folder).free
    value = f"{free / 1024**3:,.1f} GiB free in {folder}"
    if free < _NO_SPACE_BYTES:
        yield fail("disk", value, "free some space, or move the database with PIPELINE_DATABASE_URL")
    elif free < _LOW_SPACE_BYTES:
        yield warn("disk", value, "free some space: a million items take about 2 GiB")
    else:
        yield ok("disk", value)
