"""The schema version of a database: reading, checking and upgrading it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Column, Connection, MetaData, PrimaryKeyConstraint, String, Table, insert, inspect, text

import migrations
from pipeline.database.dialect import dialect_of
from pipeline.database.engine import Database
from pipeline.database.tables import metadata
from pipeline.errors import WrongSchema

_FOLDER = Path(migrations.__file__).parent
#: The table in which Alembic keeps the version of the schema.
_VERSION = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
#: Key of the advisory lock under which a database is upgraded.
_LOCK = int.from_bytes(b"pipeline")

#: The newest version; a test compares it with the migrations.
HEAD = "0018"


@dataclass(frozen=True, slots=True)
class SchemaVersion:
    """The schema version of a database (None if it is empty) and the one that this program needs."""

    database: str | None
    program: str

    @property
    def is_current(self) -> bool:
        return self.database == self.program


def read_version(database: Database) -> SchemaVersion:
    """Return the schema version of a database."""
    with database.read() as connection:
        return SchemaVersion(_stored_version(connection), HEAD)


def _stored_version(connection: Connection) -> str | None:
    if not inspect(connection).has_table(_VERSION.name):
        return None
    version: str | None = connection.scalar(text(f"SELECT version_num FROM {_VERSION.name}"))
    return version


def check_schema(database: Database) -> None:
    """Check that a database has the version that this program needs.

    Raises:
        WrongSchema: the database is newer than this program, or needs `pipeline db upgrade`.
    """
    found = read_version(database)
    if found.is_current:
        return
    _refuse_newer(found)
    state = "is empty" if found.database is None else f"has version {found.database}"
    raise WrongSchema(f"the database {state}, this program needs {HEAD}; run `pipeline db upgrade`")


def upgrade_schema(database: Database) -> SchemaVersion:
    """Upgrade a database to the version that this program needs. Return the version it had.

    Raises:
        WrongSchema: the database is newer than this program.
    """
    found = read_version(database)
    if found.is_current:
        return found
    _refuse_newer(found)
    with database.write() as connection:
        dialect_of(connection).lock_upgrade(connection, _LOCK)
        # Another process may have created or upgraded it in the meantime. Alembic then finds nothing to do.
        if _stored_version(connection) is None:
            _create(connection)
        else:
            _migrate(connection)
    return found


def _create(connection: Connection) -> None:
    """Create the tables of an empty database as they are now: what all migrations would give, without Alembic."""
    metadata.create_all(connection, checkfirst=False)
    _VERSION.create(connection, checkfirst=False)
    connection.execute(insert(_VERSION).values(version_num=HEAD))


def _migrate(connection: Connection) -> None:
    # Imported here: only a database of an older version needs Alembic.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def known_versions() -> list[str]:
    """Return every version that this program has migrations for, oldest first."""
    from alembic.script import ScriptDirectory

    script = ScriptDirectory(str(_FOLDER))
    return [revision.revision for revision in script.walk_revisions()][::-1]


def _refuse_newer(found: SchemaVersion) -> None:
    if found.database is not None and found.database not in known_versions():
        raise WrongSchema(
            f"the database has version {found.database}, which this program ({HEAD}) does not know; "
            "a newer version of pipeline created it: upgrade the program, or name another database"
        )
