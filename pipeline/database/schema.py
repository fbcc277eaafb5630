"""The version of a database: what it is, what it should be, and the way there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import inspect, text

import migrations
from pipeline.database.dialect import dialect_of
from pipeline.database.engine import Database
from pipeline.errors import WrongSchema

_FOLDER = Path(migrations.__file__).parent
_TABLE = "alembic_version"
#: Of an upgrade, among the advisory locks of a database.
_LOCK = int.from_bytes(b"pipeline")

#: The newest version; a test compares it with the migrations.
HEAD = "0005"


@dataclass(frozen=True, slots=True)
class Version:
    """The version of a database (None: empty) and of this program."""

    database: str | None
    program: str

    @property
    def is_current(self) -> bool:
        return self.database == self.program


def version(database: Database) -> Version:
    """Return which version a database is of."""
    with database.read() as connection:
        if not inspect(connection).has_table(_TABLE):
            return Version(None, HEAD)
        return Version(connection.scalar(text(f"SELECT version_num FROM {_TABLE}")), HEAD)


def check(database: Database) -> None:
    """Refuse a database of another version.

    Raises:
        WrongSchema: it is newer than this program, or it needs `pipeline db upgrade`.
    """
    found = version(database)
    if found.is_current:
        return
    _refuse_newer(found)
    state = "is empty" if found.database is None else f"is of version {found.database}"
    raise WrongSchema(f"the database {state}, this program needs {HEAD}; run `pipeline db upgrade`")


def upgrade(database: Database) -> Version:
    """Bring a database to this program's version; return what it was before.

    Raises:
        WrongSchema: it is newer than this program.
    """
    found = version(database)
    if found.is_current:
        return found
    _refuse_newer(found)
    # Here, since only a database of another version needs Alembic.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    with database.write() as connection:
        dialect_of(connection).lock_upgrade(connection, _LOCK)
        # Another process may have upgraded it since; Alembic then finds nothing to do.
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return found


def known_versions() -> list[str]:
    """Return every version that this program's migrations know, oldest first."""
    from alembic.script import ScriptDirectory

    script = ScriptDirectory(str(_FOLDER))
    return [revision.revision for revision in script.walk_revisions()][::-1]


def _refuse_newer(found: Version) -> None:
    if found.database is not None and found.database not in known_versions():
        raise WrongSchema(
            f"the database is of version {found.database}, which this program ({HEAD}) does not know; "
            "it was made by a newer version of pipeline: upgrade the program, or name another database"
        )
