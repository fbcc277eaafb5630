"""Items from databases: streamed, read only, and resumed."""

from __future__ import annotations

import sqlite3
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

import psycopg
import pytest

from pipeline.connections.connection import NamedConnection
from pipeline.domain.payload import Record, Rejection
from pipeline.errors import InvalidInput, NoItems, PipelineError, SourceUnavailable
from pipeline.sources.item_source import ItemSource
from pipeline.sources.open_source import open_source
from pipeline.sources.read_options import ReadOptions
from pipeline.sources.read_report import ReadReport
from pipeline.sources.source_access import SourceAccess
from tests.support.servers.mariadb import MariaDB
from tests.support.servers.postgres import Postgres

pytestmark = pytest.mark.servers

#: Rows of the table `numbers`: more than are fetched at once.
ROWS = 2_500


@dataclass(frozen=True)
class Place:
    """A database with a table `numbers` of `id` and `body`, and a table `one` of one row."""

    kind: str
    url: str
    run: Callable[[str], object]
    end_connections: Callable[[], object]


@pytest.fixture(scope="module")
def of_postgresql(postgres: Postgres) -> Iterator[Place]:
    postgres.run("CREATE DATABASE sources")
    url = postgres.url_of("sources")

    def run(statement: str) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(statement)

    run(f"CREATE TABLE numbers AS SELECT g AS id, 'text ' || g AS body FROM generate_series(1, {ROWS}) g")
    run("CREATE TABLE one (id INT)")
    run("INSERT INTO one VALUES (1)")
    yield Place("postgresql", f"postgresql://127.0.0.1:{postgres.port}/sources", run, lambda: postgres.terminate(url))
    postgres.drop(url)


@pytest.fixture(scope="module")
def of_mysql(mariadb: MariaDB) -> Place:
    mariadb.run(
        "CREATE TABLE numbers (id INT PRIMARY KEY, body TEXT)",
        f"INSERT INTO numbers SELECT seq, concat('text ', seq) FROM seq_1_to_{ROWS}",
        "CREATE TABLE one (id INT)",
        "INSERT INTO one VALUES (1)",
    )
    url = f"{mariadb.url}?read_default_file={quote(str(mariadb.options_file))}"
    return Place("mysql", url, mariadb.run, mariadb.kill_others)


@pytest.fixture(scope="module")
def of_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Place:
    # A name that means something else in a URI.
    path = tmp_path_factory.mktemp("sources") / "a b%20#.db"

    def run(statement: str) -> None:
        with sqlite3.connect(path) as connection:
            connection.execute(statement)
        connection.close()

    run("CREATE TABLE numbers (id INTEGER PRIMARY KEY, body TEXT)")
    some = f"WITH RECURSIVE g(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM g WHERE n < {ROWS})"
    run(f"INSERT INTO numbers {some} SELECT n, 'text ' || n FROM g")
    run("CREATE TABLE one (id INT)")
    run("INSERT INTO one VALUES (1)")
    return Place("sqlite", f"sqlite:///{quote(str(path))}", run, lambda: None)


@pytest.fixture(params=["postgresql", "mysql", "sqlite"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("PGUSER", "pipeline")
    found: Place = request.getfixturevalue(f"of_{request.param}")
    return found


def source(place: Place, query: str, order_by: str | None = None, **options: Any) -> ItemSource:
    given = ReadOptions(query=query, order_by=order_by, **options)
    return open_source([place.url], given, ReadReport())


def read(place: Place, query: str, order_by: str | None = None, **options: Any) -> list[Record | Rejection]:
    return list(source(place, query, order_by, **options).read())


def refused(place: Place, query: str, order_by: str | None = None, **options: Any) -> str:
    with pytest.raises(InvalidInput) as found:
        read(place, query, order_by, **options)
    return str(found.value)


def payloads(items: list[Record | Rejection]) -> list[Any]:
    return [item.payload if isinstance(item, Record) else item.reason for item in items]


def test_rows_are_items(place: Place) -> None:
    # Percent signs, colons and question marks mean something to drivers.
    query = "SELECT id, body AS text, 'a:b :c 10% %s %(d)s ?' AS note FROM numbers WHERE body LIKE 'text 12%' -- all;"
    for order_by in (None, "ID"):
        items = read(place, f"{query}\n;", order_by)
        assert len(items) == 111
        assert {item.line for item in items} == set(range(1, 112))
        assert {"id": 12, "text": "text 12", "note": "a:b :c 10% %s %(d)s ?"} in payloads(items)


def test_reading_goes_on_after_any_row(place: Place) -> None:
    given = source(place, "SELECT body, id FROM numbers WHERE id > 5", "id")
    items = list(given.read())
    assert [item.line for item in items] == list(range(1, ROWS - 4))
    for last in (items[0], items[999], items[1_700]):
        assert list(given.read(after=last.after)) == items[last.line :]
    # After the last one there is nothing, which is no error.
    assert list(given.read(after=items[-1].after)) == []


def test_only_an_ordered_query_can_go_on(place: Place) -> None:
    ordered = source(place, "SELECT id FROM one", "id").fingerprint()
    assert ordered is not None
    assert ordered != source(place, "SELECT id + 1 AS id FROM one", "id").fingerprint()
    assert source(place, "SELECT id FROM one").fingerprint() is None


def test_the_server_refuses_what_changes_data(place: Place) -> None:
    for query in (
        "WITH gone AS (DELETE FROM one RETURNING id) SELECT * FROM gone",
        "WITH a AS (SELECT 1) DELETE FROM one",
        "SELECT 1; DELETE FROM one",
    ):
        for order_by in (None, "id"):
            refused(place, query, order_by)
    assert "begins with 'DELETE'" in refused(place, "DELETE FROM one")
    assert payloads(read(place, "SELECT id FROM one")) == [{"id": 1}]


def test_a_function_that_changes_data_is_refused_by_the_server(place: Place) -> None:
    if place.kind == "sqlite":
        pytest.skip("SQLite has no such functions")
    place.run(
        "CREATE OR REPLACE FUNCTION clear_one() RETURNS INT "
        + (
            "LANGUAGE plpgsql AS $$ BEGIN DELETE FROM one; RETURN 1; END $$"
            if place.kind == "postgresql"
            else "MODIFIES SQL DATA BEGIN DELETE FROM one; RETURN 1; END"
        )
    )
    assert "read" in refused(place, "SELECT clear_one() AS n").lower()
    assert payloads(read(place, "SELECT id FROM one")) == [{"id": 1}]


def test_an_order_column_must_be_unique_and_never_null(place: Place) -> None:
    twice = refused(place, "SELECT 7 AS k FROM numbers", "k")
    assert twice == "column 'k' is not unique: 7 comes twice; order by a key"
    null = "column 'k' holds NULL, so that reading cannot go on after it; order by a key"
    query = "SELECT nullif(id, 3) AS k FROM numbers WHERE id < 5"
    assert refused(place, query, "k") == null
    # Whoever goes on finds it too, although no comparison does.
    reading = source(place, query.replace("nullif(id, 3)", "nullif(id, 0)"), "k")
    after = list(reading.read())[0].after
    with pytest.raises(InvalidInput) as found:
        list(source(place, query, "k").read(after=after))
    assert str(found.value) == null
    assert (
        refused(place, "SELECT id FROM one", "idd") == "the query has no column 'idd' to order by; did you mean 'id'?"
    )


def test_repeated_names_are_numbered(place: Place) -> None:
    warnings: list[str] = []
    given = ReadOptions(query="SELECT 1 AS a, 2 AS b, 3 AS a")
    items = list(open_source([place.url], given, ReadReport(warn=warnings.append)).read())
    assert payloads(items) == [{"a": 1, "b": 2, "a_2": 3}]
    assert len(warnings) == 1


def test_no_rows_are_no_items(place: Place) -> None:
    with pytest.raises(NoItems, match="the query has no rows"):
        read(place, "SELECT id FROM one WHERE id = 2")


def test_what_the_server_says_is_said(place: Place) -> None:
    said = refused(place, "SELECT * FROM nowhere")
    assert " refuses the query: " in said
    assert "nowhere" in said


def test_a_reader_that_stops_early_closes_at_once(place: Place) -> None:
    items = source(place, "SELECT id, body FROM numbers").read()
    next(items)
    items.close()  # type: ignore[attr-defined]


def test_a_lost_connection_is_worth_another_try(place: Place) -> None:
    if place.kind == "sqlite":
        pytest.skip("SQLite has no connection to lose")
    items = source(place, "SELECT id, repeat(body, 2000) AS body FROM numbers", "id").read()
    next(items)
    place.end_connections()
    with pytest.raises(SourceUnavailable, match="run the same command again"):
        list(items)


def test_a_server_that_is_not_there_is_worth_another_try(monkeypatch: pytest.MonkeyPatch) -> None:
    for scheme in ("postgresql", "mysql"):
        with pytest.raises(SourceUnavailable, match=f"^{scheme}://127.0.0.1:1/db cannot be reached"):
            list(open_source([f"{scheme}://127.0.0.1:1/db"], ReadOptions(query="SELECT 1"), ReadReport()).read())


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("sqlite:///nowhere.db", "there is no SQLite database nowhere.db"),
        ("oracle://host/db", "oracle:// needs a driver that is not installed"),
        ("sqlite:///nowhere.db?mode=rwc", "there is no SQLite database nowhere.db"),
    ],
)
def test_a_database_that_cannot_be_opened_is_refused(url: str, reason: str) -> None:
    with pytest.raises(PipelineError, match=reason):
        open_source([url], ReadOptions(query="SELECT 1"), ReadReport())


VALUES = {
    "postgresql": (
        "SELECT 1.50::numeric AS price, 1e-7::numeric AS small, 'NaN'::float8 AS nan, '2026-01-02'::date AS day, "
        "'2026-01-02 03:04:05.5+05:45'::timestamptz AS at, '2026-01-02 03:04:05'::timestamp AS local, "
        "'03:04'::time AS time, "
        "interval '90 minutes' AS took, '{\"a\": [1, null, 2.5]}'::jsonb AS json, ARRAY['x', NULL] AS list, "
        "'10.0.0.1'::inet AS ip, true AS yes, '12345678-1234-5678-1234-567812345678'::uuid AS id, 'x'::bytea AS raw",
        {
            "price": "1.50",
            "small": "0.0000001",
            "nan": None,
            "day": "2026-01-02",
            "at": "2026-01-01T21:19:05.500000Z",
            "local": "2026-01-02T03:04:05",
            "time": "03:04:00",
            "took": 5400.0,
            "json": {"a": [1, None, 2.5]},
            "list": ["x", None],
            "ip": "10.0.0.1",
            "yes": True,
            "id": "12345678-1234-5678-1234-567812345678",
            "raw": "eA==",
        },
    ),
    "mysql": (
        "SELECT 1.50 AS price, cast('2026-01-02' AS DATE) AS day, cast('2026-01-02 03:04:05' AS DATETIME) AS local, "
        "cast('03:04' AS TIME) AS took, 18446744073709551615 AS large, 'ü😀' AS text, cast('x' AS BINARY) AS raw",
        {
            "price": "1.50",
            "day": "2026-01-02",
            "local": "2026-01-02T03:04:05",
            "took": 11040.0,
            "large": 18446744073709551615,
            "text": "ü😀",
            "raw": "eA==",
        },
    ),
    "sqlite": ("SELECT 1.5 AS price, 'x' AS text, x'78' AS raw", {"price": 1.5, "text": "x", "raw": "eA=="}),
}


def test_values_become_json(place: Place) -> None:
    query, expected = VALUES[place.kind]
    assert payloads(read(place, query, binary="base64", nan="null")) == [expected]
    assert "'raw' holds bytes, which JSON cannot represent; --binary utf8" in refused(place, query, nan="null")
    assert payloads(read(place, query, binary="utf8", nan="null")) == [expected | {"raw": "x"}]


def test_what_python_or_json_cannot_hold_refuses_its_row(of_postgresql: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGUSER", "pipeline")
    query = (
        "SELECT id, CASE id WHEN 2 THEN 'infinity' ELSE '2026-01-01' END::timestamptz AS at, "
        "CASE id WHEN 3 THEN 'NaN' ELSE '1' END::numeric AS n, "
        "CASE id WHEN 4 THEN '0044-03-15 BC' ELSE '2026-01-01' END::date AS day FROM numbers WHERE id < 6"
    )
    one, infinite, nan, before, two = payloads(read(of_postgresql, query, "id"))
    assert (one["id"], two["id"]) == (1, 5)
    assert "column 'at' holds what cannot be read: " in infinite
    assert nan == "column 'n' holds NaN: JSON has neither NaN nor infinity; --nan null stores null"
    assert "column 'day' holds what cannot be read: " in before
    assert "a Range, which has no form in JSON; convert it to text" in refused(
        of_postgresql, "SELECT '[1,2)'::int4range"
    )


def test_rows_are_streamed(place: Place) -> None:
    if place.kind == "sqlite":
        pytest.skip("its driver has no other way")
    # 80 MB, of which a thousand rows at a time are here.
    items = source(place, "SELECT a.id, repeat(a.body, 4000) AS body FROM numbers a WHERE a.id > 500", "id").read()
    next(items)
    tracemalloc.start()
    count = sum(1 for _ in items)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == ROWS - 501
    assert peak < 60 * 2**20


def test_a_connection_gives_the_password_and_hides_the_server(
    of_postgresql: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A role that must give a password, even if others need none.
    monkeypatch.delenv("PGUSER", raising=False)
    monkeypatch.setenv("SHOP_PASSWORD", "hunter2")
    of_postgresql.run("CREATE ROLE reader LOGIN PASSWORD 'hunter2'")
    of_postgresql.run("GRANT SELECT ON one TO reader")
    server, _, database = of_postgresql.url.rpartition("/")
    login = {"username": "reader", "password": "${SHOP_PASSWORD}"}
    shop = NamedConnection("shop", server, options=login)
    named: list[str] = []

    def find(name: str) -> NamedConnection:
        named.append(name)
        return shop

    options = ReadOptions(
        query="SELECT id, current_user::text AS who FROM one", access=SourceAccess(find_connection=find)
    )
    opened = open_source([f"conn://shop/{database}"], options, ReadReport())
    assert payloads(list(opened.read())) == [{"id": 1, "who": "reader"}]
    assert (opened.name, named) == (f"conn://shop/{database}", ["shop"])
    engine = opened._server._engine  # type: ignore[attr-defined]
    assert engine.url.password == "hunter2"
    with pytest.raises(InvalidInput, match="--sheet is for files; conn://shop is a database"):
        open_source([f"conn://shop/{database}"], replace(options, sheet="1"), ReadReport())
    with pytest.raises(InvalidInput, match="conn://shop is a database: say what to read"):
        open_source(["conn://shop"], replace(options, query=None), ReadReport())
