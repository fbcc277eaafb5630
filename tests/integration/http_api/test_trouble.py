"""Submitting while the disk is full, or the broker or the database is away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import pipeline
from pipeline.batches.submit_lease import discard_abandoned
from pipeline.bootstrap import make_context
from pipeline.settings import load
from tests.integration.database.test_unwritable import limit_pages
from tests.support.factories import connect
from tests.support.gateway import ServedApi, serving
from tests.support.servers.postgres import Postgres
from tests.support.uploads import NDJSON, lines, raw_request, read_answer, stored, waited, write_definition

STREAM = "/v1/batches?definition=tickets"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ServedApi]:
    write_definition(tmp_path)
    with connect(tmp_path, definitions=tmp_path, lease_seconds=1) as client, serving(client, works=False) as served:
        yield served


def test_a_full_disk_is_said_and_leaves_nothing(api: ServedApi) -> None:
    limit_pages(api.context.database, 200)
    refused = api.http.post(STREAM, content=lines(9_000, note="x" * 200), headers=NDJSON)
    assert (refused.status_code, refused.json()["code"]) == (507, "storage_full")
    limit_pages(api.context.database, 100_000)
    # The lease of the submitter ends, and the sweep of any worker removes what it wrote.
    waited(lambda: bool(discard_abandoned(api.context)) or stored(api.context)[0] == 0)
    assert stored(api.context) == (0, 0, 0, 0)


def on_insert(table: str, timing: str, body: str) -> tuple[str, str]:
    """Statements with which PostgreSQL does something when a row is inserted."""
    function = f"CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body}; RETURN NEW; END $$"
    return function, f"CREATE {timing} ON {table} FOR EACH ROW EXECUTE FUNCTION trouble()"


@pytest.fixture
def on_postgres(postgresql_url: str, tmp_path: Path) -> Iterator[ServedApi]:
    write_definition(tmp_path)
    settings = {"database_url": postgresql_url, "definitions": tmp_path, "lease_seconds": 1}
    with pipeline.connect(**settings) as client, serving(client, works=False) as served:
        yield served
        with served.context.database.write() as connection:
            connection.exec_driver_sql("DROP FUNCTION IF EXISTS trouble CASCADE")


@pytest.mark.parametrize("number", [3, 9_000])
def test_a_full_disk_of_postgresql_is_said_and_leaves_nothing(on_postgres: ServedApi, number: int) -> None:
    """As PostgreSQL says it when a table cannot be extended."""
    full = "IF NEW.position > 2 THEN RAISE 'could not extend file: No space left on device' USING ERRCODE = '53100'"
    with on_postgres.context.database.write() as connection:
        for statement in on_insert("items", "TRIGGER disk_full BEFORE INSERT", f"{full}; END IF"):
            connection.exec_driver_sql(statement)
    refused = on_postgres.http.post(STREAM, content=lines(number), headers=NDJSON)
    assert (refused.status_code, refused.json()["code"]) == (507, "storage_full"), refused.text
    waited(lambda: bool(discard_abandoned(on_postgres.context)) or stored(on_postgres.context)[0] == 0)
    assert stored(on_postgres.context) == (0, 0, 0, 0)


@pytest.mark.parametrize("number", [3, 9_000])
def test_a_connection_that_is_lost_in_the_commit_leaves_the_outcome_to_the_same_key(
    on_postgres: ServedApi, number: int
) -> None:
    """The server of the database ends the connection while it commits, at each attempt."""
    database = on_postgres.context.database
    timing = "CONSTRAINT TRIGGER lost AFTER UPDATE"
    when = "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.state = 'running')"
    function, trigger = on_insert("batches", timing, "PERFORM pg_terminate_backend(pg_backend_pid())")
    with database.write() as connection:
        connection.exec_driver_sql(function)
        connection.exec_driver_sql(trigger.replace("FOR EACH ROW", when))
    headers = NDJSON | {"Idempotency-Key": "lost"}
    unknown = on_postgres.http.post(STREAM, content=lines(number), headers=headers)
    assert (unknown.status_code, unknown.json()["code"]) == (503, "outcome_unknown"), unknown.text
    assert unknown.headers["retry-after"] == "2"
    assert unknown.json()["batch_id"]
    with database.write() as connection:
        connection.exec_driver_sql("DROP TRIGGER lost ON batches")
    answers: list[int] = []

    def is_answered() -> bool:
        discard_abandoned(on_postgres.context)
        answers.append(on_postgres.http.post(STREAM, content=lines(number), headers=headers).status_code)
        return answers[-1] in (200, 201)

    waited(is_answered)
    assert set(answers[:-1]) <= {409}
    assert stored(on_postgres.context) == (1, number, 0, 0)


def test_a_broker_that_is_away_refuses_nothing(tmp_path: Path) -> None:
    write_definition(tmp_path)
    url = f"sqlite:///{tmp_path / 'pipeline.db'}"
    # Created by an embedded program: one with a broker only checks it.
    make_context(load(database_url=url)).database.close()
    options = {"database_url": url, "broker_url": "redis://127.0.0.1:1/0", "definitions": tmp_path}
    with pipeline.connect(**options) as client, serving(client, works=False) as api:
        assert api.http.post(STREAM, content=lines(3), headers=NDJSON).status_code == 201
        assert stored(api.context)[:2] == (1, 3)


def test_a_database_that_goes_away_refuses_the_upload(postgres: Postgres, postgresql_url: str, tmp_path: Path) -> None:
    write_definition(tmp_path)
    settings = load(database_url=postgresql_url, definitions=tmp_path, lease_seconds=1)
    body = lines(9_000)
    client = pipeline.connect(database_url=postgresql_url, definitions=tmp_path, lease_seconds=1)
    with client, serving(client, works=False) as api:
        head = ["Content-Type: application/x-ndjson", f"Content-Length: {len(body)}"]
        with raw_request(api, head, body[: len(body) * 3 // 4], path=STREAM) as connection:
            waited(lambda: stored(api.context)[1] > 0)
            postgres.stop()
            try:
                connection.sendall(body[len(body) * 3 // 4 :])
                status, problem = read_answer(connection)
                assert (status, problem["code"]) == (503, "database_unreachable")
                refused = api.http.post(STREAM, content=body, headers=NDJSON)
                assert (refused.status_code, refused.json()["code"]) == (503, "database_unreachable")
                assert refused.headers["retry-after"] == "2"
            finally:
                postgres.start()
        context = make_context(settings)
        waited(lambda: bool(discard_abandoned(context)))
        assert stored(context) == (0, 0, 0, 0)
        context.database.close()
