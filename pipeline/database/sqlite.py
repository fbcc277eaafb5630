"""SQLite's file: which one a URL names, and what is wrong with it."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError

from pipeline.errors import InvalidSettings, PipelineError, Unreachable

_URI = "file:"
_INSTEAD = "or name another in PIPELINE_DATABASE_URL"


def file_of(url: URL) -> Path | None:
    """Return the file that a URL names, absolute; None where it is no URL of SQLite.

    Raises:
        InvalidSettings: it names a database in memory, which no other connection sees and which ends with the process.
    """
    if url.get_backend_name() != "sqlite":
        return None
    name = (url.database or "").removeprefix(_URI)
    if name in ("", ":memory:") or url.query.get("mode") == "memory":
        raise InvalidSettings(
            "PIPELINE_DATABASE_URL names a database in memory, where nothing outlives the process and its parts cannot "
            "share it; name a file, such as sqlite:///pipeline.db"
        )
    return Path(name).absolute()


def trouble(error: DBAPIError, url: URL) -> PipelineError | None:
    """Return what to tell a person where the file itself is the matter, None where it is not."""
    path = file_of(url)
    if path is None or not isinstance(error.orig, sqlite3.Error):
        return None
    match getattr(error.orig, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_NOTADB:
            return InvalidSettings(f"{path} is no SQLite database; correct PIPELINE_DATABASE_URL")
        case sqlite3.SQLITE_CORRUPT:
            return Unreachable(f"the database {path} is damaged: {error.orig}; restore it from a copy, {_INSTEAD}")
        case sqlite3.SQLITE_READONLY:
            return Unreachable(
                f"the database {path} is read-only; give this user the right to write to it (and to its folder, which "
                f"looking needs as well), {_INSTEAD}"
            )
        case sqlite3.SQLITE_CANTOPEN:
            return Unreachable(f"cannot open the database {path}: {_hindrance(path)}, {_INSTEAD}")
    return None


def _hindrance(path: Path) -> str:
    if not path.parent.is_dir():
        return f"there is no folder {path.parent}; make it"
    if path.is_dir():
        return "it is a folder; name a file in it"
    if path.exists() and not os.access(path, os.R_OK):
        return "this user may not read it; give the right to"
    # Beside the database stand its log and the log's index, which readers make as well.
    return f"this user may not write to the folder {path.parent}, which reading needs as well; give the right to"
