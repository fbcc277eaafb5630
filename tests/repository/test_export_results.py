"""What the page on exports shows is run: to a folder, to an object store, to a table."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import obstore
import psycopg
import pytest

from pipeline.objects.open_store import open_store
from tests.support.pages import Desk, commands, named, reader_environment
from tests.support.paths import EXAMPLES
from tests.support.servers.object_store import ACCESS_KEY, BUCKET, SECRET_KEY, ObjectStore
from tests.support.servers.postgres import Postgres

PAGE = "docs/how-to/export-results.md"
SHOWN = [line for block in commands(PAGE) for line in block]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    return Desk(tmp_path, reader_environment())


def shown(*words: str) -> str:
    """Return the line of the page that contains all of these words."""
    (line,) = [line for line in SHOWN if all(word in line for word in words)]
    return line


@pytest.mark.slow
def test_an_export_to_a_folder_is_verified_and_read(desk: Desk) -> None:
    desk.save(PAGE)
    desk.type(shown("tickets.jsonl", "results/"))
    assert "complete" in desk.type(shown("exports list")).stdout
    assert "correct" in desk.type(shown("exports verify")).stdout
    (manifest,) = (desk.folder / "results").glob("*/manifest.json")
    lines = desk.python("read_export.py", str(manifest.parent)).stdout.splitlines()
    assert len(lines) == json.loads(manifest.read_text())["total"]


@pytest.mark.slow
@pytest.mark.servers
def test_an_export_goes_to_the_store_that_a_connection_names(desk: Desk, object_store: ObjectStore) -> None:
    connections = named(PAGE, "connections.toml").replace("acme-results", BUCKET)
    desk.write("connections.toml", f'{connections}endpoint = "{object_store.url}"\n')
    settings = {"PIPELINE_CONNECTIONS": "connections.toml", "LAKE_KEY": ACCESS_KEY, "LAKE_SECRET": SECRET_KEY}
    assert shown("PIPELINE_CONNECTIONS=connections.toml")
    desk.type(shown("submit", "conn://lake"), **settings)
    done = desk.type("pipeline run --batch last --json", **settings)
    assert json.loads(done.stdout)["exports"] == {"complete": 1}
    assert "correct" in desk.type(shown("exports verify"), **settings).stdout
    tickets = (desk.folder / "examples/support-tickets/tickets.jsonl").read_bytes()
    bucket = open_store("s3", BUCKET, object_store.options, largest=len(tickets))
    obstore.put(bucket, "pipeline/incoming/tickets.jsonl", tickets)
    desk.type(shown("conn://lake/incoming"), **settings)
    assert "correct" in desk.type(shown("exports verify"), **settings).stdout
    for stored in desk.folder.glob("pipeline.db*"):
        assert SECRET_KEY.encode() not in stored.read_bytes()


@pytest.mark.slow
@pytest.mark.servers
def test_an_export_goes_to_the_table_that_ddl_prints(desk: Desk, postgres: Postgres) -> None:
    postgres.run("CREATE DATABASE reports")
    url = f"postgresql://127.0.0.1:{postgres.port}/reports"
    desk.write("connections.toml", f'[warehouse]\nurl = "{url}"\nusername = "pipeline"\n')
    settings = {"PIPELINE_CONNECTIONS": "connections.toml"}
    ddl = desk.type(shown("exports ddl").partition(" | ")[0], **settings).stdout
    with psycopg.connect(postgres.url_of("reports")) as connection:
        connection.execute(ddl)
    desk.type(shown("submit", "conn://warehouse"), **settings)
    done = desk.type("pipeline run --batch last --json", **settings)
    summary = json.loads(done.stdout)
    assert summary["exports"] == {"complete": 1}
    with psycopg.connect(postgres.url_of("reports")) as connection:
        found = connection.execute("SELECT count(*), count(DISTINCT seq) FROM results").fetchone()
    assert found == (summary["total"], summary["total"])
    assert "correct" in desk.type(shown("exports verify"), **settings).stdout
    postgres.run("DROP DATABASE reports WITH (FORCE)")
