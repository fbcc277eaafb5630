"""A user's hook has the planner settings of the server, all else in its transaction has ours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import ProgrammingError

import pipeline
from pipeline.bootstrap import make_hooks
from pipeline.database.engine import Database
from pipeline.database.planner import PLANNER, read_planner
from pipeline.domain.event import EventType, encode_body
from pipeline.hooks import Happening, Hooks
from tests.support.factories import make_definition, make_items
from tests.support.servers.fixtures import on_postgresql
from tests.support.servers.postgres import Postgres

NOW = datetime(2026, 11, 21, tzinfo=UTC)
BODY = encode_body(EventType.BATCH_COMPLETED, NOW, {"batch_id": "b"})
HAPPENING = Happening(1, 1, EventType.BATCH_COMPLETED, None, BODY, (), "b")
#: Neither ours nor the defaults that PostgreSQL comes with.
OF_DATABASE = {"enable_seqscan": "on", "enable_hashjoin": "off", "enable_mergejoin": "on", "jit": "off"}

pytestmark = on_postgresql


class Seen(list[dict[str, str]]):
    """A hook that notes the settings it finds."""

    def __call__(self, connection: Connection, _events: Sequence[object], _now: datetime = NOW) -> None:
        self.append(read_planner(connection))


@pytest.fixture
def of_server(database_url: str, postgres: Postgres) -> dict[str, str]:
    """The settings of a database on which some are configured, as a session without ours has them."""
    name = database_url.rpartition("/")[2]
    for setting, value in OF_DATABASE.items():
        postgres.run(f"ALTER DATABASE {name} SET {setting} = {value}")
    with opened(f"{database_url}?options=-cwork_mem%3D4MB") as plain, plain.read() as connection:
        found = read_planner(connection)
    assert found == {"enable_bitmapscan": "on"} | OF_DATABASE
    return found


@contextmanager
def opened(url: str) -> Iterator[Database]:
    database = Database(url)
    try:
        yield database
    finally:
        database.close()


def test_a_users_hook_has_the_settings_of_the_server_and_all_else_ours(
    of_server: dict[str, str], database_url: str
) -> None:
    ours, first, second = Seen(), Seen(), Seen()
    with opened(database_url) as database:
        hooks = Hooks([first, second], built_in=[ours], user_planner=database.user_planner())
        with database.write() as connection:
            for _ in range(2):
                hooks.run(connection, [HAPPENING], NOW)
                ours(connection, [])
        with database.write() as connection:
            ours(connection, [])
    assert first == second == [of_server] * 2
    assert ours == [PLANNER] * 5


def test_settings_hold_after_a_hook_that_fails(of_server: dict[str, str], database_url: str) -> None:
    ours, after = Seen(), Seen()

    def fail(connection: Connection, _: Sequence[object]) -> None:
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        connection.execute(text("SELECT 1 FROM nowhere"))

    with opened(database_url) as database, database.write() as connection:
        make_hooks(database, [fail, after]).run(connection, [HAPPENING], NOW)
        ours(connection, [])
    assert after == [of_server]
    assert ours == [PLANNER]


def test_settings_that_a_hook_changes_are_ours_again_afterwards(of_server: dict[str, str], database_url: str) -> None:
    ours = Seen()

    def change(connection: Connection, _: Sequence[object]) -> None:
        for name, setting in of_server.items():
            connection.execute(text(f"SET LOCAL {name} = {'off' if setting == 'on' else 'on'}"))

    with opened(database_url) as database, database.write() as connection:
        make_hooks(database, [change]).run(connection, [HAPPENING], NOW)
        ours(connection, [])
    assert ours == [PLANNER]


def test_a_transaction_that_fails_inside_leaves_the_session_as_it_was(database: Database) -> None:
    ours, planner = Seen(), database.user_planner()
    with pytest.raises(ProgrammingError), database.write() as connection, planner(connection):
        connection.execute(text("SELECT 1 FROM nowhere"))
    with database.write() as connection:
        ours(connection, [])
    assert ours == [PLANNER]


def test_a_url_that_sets_options_itself_is_left_alone(database_url: str) -> None:
    seen, statements = Seen(), []
    with opened(f"{database_url}?options=-cenable_seqscan%3Doff") as database:
        hooks = make_hooks(database, [seen])
        with database.write() as connection:
            event.listen(connection, "before_cursor_execute", lambda *given: statements.append(given[2]))
            hooks.run(connection, [HAPPENING], NOW)
    assert seen[0]["enable_seqscan"] == "off"
    assert not [each for each in statements if "set_config" in each]


def test_without_hooks_of_a_user_nothing_is_set(database: Database) -> None:
    statements: list[str] = []
    hooks = make_hooks(database)
    with database.write() as connection:
        event.listen(connection, "before_cursor_execute", lambda *given: statements.append(given[2]))
        hooks.run(connection, [HAPPENING], NOW)
    assert statements == []


def test_the_transaction_of_a_client_has_them(of_server: dict[str, str], database_url: str) -> None:
    with pipeline.connect(database_url=database_url) as client:
        for _ in range(2):
            with client.transaction() as connection:
                assert read_planner(connection) == of_server


def test_the_hook_of_a_client_has_them(of_server: dict[str, str], database_url: str, tmp_path: Path) -> None:
    seen = Seen()
    with pipeline.connect(database_url=database_url, hooks=[seen]) as client:
        client.submit(make_items(3), make_definition(tmp_path)).wait(30)
    assert len(seen) >= 2
    assert set(map(str, seen)) == {str(of_server)}
