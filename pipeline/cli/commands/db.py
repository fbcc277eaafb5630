"""`pipeline db`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from pipeline import settings
from pipeline.cli import options
from pipeline.cli.commands.db_prune import prune
from pipeline.cli.run.session import refuse_missing
from pipeline.cli.show.output import Talk, print_facts, print_json
from pipeline.database.engine import Database
from pipeline.database.schema import read_version, upgrade_schema
from pipeline.settings import Settings


@click.group()
def db() -> None:
    """The version of the database, and what is kept in it.

    An embedded database is upgraded by itself; one that several programs share is upgraded by `pipeline db upgrade`.

    \b
    Examples:
      pipeline db current
      pipeline db upgrade
      pipeline db prune --older-than 30d
    """


db.add_command(prune)


@db.command()
@options.as_json
def current(as_json: bool) -> int:
    """Print the version of the database and of this program; exit code 1 where they differ.

    \b
    Examples:
      pipeline db current
      pipeline db current --json
    """
    chosen = settings.load()
    refuse_missing(chosen)
    with _opened(chosen) as database:
        found = read_version(database)
    facts = {"database": found.database, "program": found.program, "is_current": found.is_current}
    print_json(facts) if as_json else print_facts({**facts, "database": found.database or "empty"})
    return 0 if found.is_current else 1


@db.command()
def upgrade() -> None:
    """Bring the database to this program's version.

    \b
    Examples:
      pipeline db upgrade
    """
    with _opened(settings.load()) as database:
        before = upgrade_schema(database)
    said = "is of" if before.is_current else f"was {before.database or 'empty'}, now is of"
    Talk().say(f"the database {said} version {before.program}")


@contextmanager
def _opened(chosen: Settings) -> Iterator[Database]:
    # Not through `bootstrap`, which upgrades or refuses a database of another version.
    database = Database(chosen.database_url.get_secret_value())
    try:
        yield database
    finally:
        database.close()
