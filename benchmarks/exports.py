"""Exports: how long it takes to write the results of a large batch to an object store, and the most memory.

python -m benchmarks.exports [--results 1000000] [--format jsonl.gz --format parquet] [--kills 0] [--json FILE]
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import click
from sqlalchemy import Connection, text

from benchmarks.figures import Figures, json_option, write
from benchmarks.processes import status_of
from pipeline.bootstrap import make_context
from pipeline.context import Context
from pipeline.exports.run_exports import ExportRunner
from pipeline.exports.sql import exports
from pipeline.exports.verify import Verified, verify
from pipeline.settings import load
from tests.support.paths import ROOT
from tests.support.servers.object_store import ObjectStore
from tests.support.servers.postgres import Postgres

LOOK_SECONDS = 0.02
MIB = 2**20
#: Seconds between kills, at most.
KILL_SECONDS = 4.0

_TIMINGS = ",".join(
    f'"{name}":"2026-01-01T00:00:00.000001Z"'
    for name in ("created_at", "queued_at", "started_at", "classified_at", "finished_at")
)
#: A result of an ordinary size, by its number.
_BODY = (
    '{"type":"item.completed","timestamp":"2026-01-01T00:00:00.000001Z","data":{"batch_id":"%1$s",'
    '"item_id":"%1$s-%2$s","key":"T-%2$s","seq":%2$s,"state":"succeeded","label":"label-%3$s","confidence":0.%3$s,'
    '"classification":{"label":"label-%3$s","confidence":0.%3$s},'
    '"enrichment":{"language":{"language":"en","confidence":0.98}},"error":null,"attempts":2,"timings":{'
    + _TIMINGS
    + "}}}"
)
_FILL = """
    INSERT INTO events (batch_id, seq, type, item_id, body, created_at)
    SELECT :batch, n, 'item.completed', :batch * 4294967296 + n,
           convert_to(format(:body, CAST(:public AS text), n, n % 77 + 10), 'UTF8'), now()
    FROM generate_series(1, :results) AS n"""


@click.command()
@click.option("--results", default=1_000_000, show_default=True)
@click.option("--format", "formats", multiple=True, default=("jsonl.gz", "parquet"), show_default=True)
@click.option("--kills", default=0, show_default=True, help="Times that the exporting process is killed.")
@click.option("--work", is_flag=True, hidden=True)
@json_option
def main(results: int, formats: tuple[str, ...], kills: int, work: bool, json_file: Path | None) -> None:
    """Measure exports to SeaweedFS from PostgreSQL, each in a fresh process, and verify them."""
    if work:
        _work()
        return
    heads = {"seconds": ".1f", "results/s": ",.0f", "peak, MiB": ",.0f", "parts": ".0f", "MiB": ",.1f"}
    figures = Figures("format", heads)
    with Postgres(is_durable=True) as postgres, ObjectStore() as store:
        url = postgres.database()
        given = {"PIPELINE_DATABASE_URL": url, "PIPELINE_ALLOW_TARGETS": "s3:*", "PIPELINE_LEASE_SECONDS": "2"}
        environment = {**given, **store.environment, "PYTHONPATH": str(ROOT)}
        os.environ.update(environment)
        context = make_context(load())
        for number, format in enumerate(formats, 1):
            with context.database.write() as connection:
                export_id = _fill(connection, f"benchmark{number:07d}", results, f"{store.place()}?format={format}")
            seconds, peak = _export(context, export_id, kills)
            found = _verified(context, export_id)
            figures.add(format, seconds, results / seconds, peak, found.parts, found.bytes / MIB)
        context.database.close()
    write(json_file, figures)


def _fill(connection: Connection, public_id: str, results: int, target: str) -> int:
    """Store a batch that is complete, and its export. Return the export's id."""
    connection.execute(text("SET LOCAL statement_timeout = 0"))
    given = {"public": public_id, "results": results, "target": target}
    definition = connection.scalar(
        text(
            "INSERT INTO definitions (name, version, content, stages, created_at) "
            "VALUES ('benchmark', :public, '{}', 'classify', now()) RETURNING id"
        ),
        given,
    )
    batch = connection.scalar(
        text(
            "INSERT INTO batches (public_id, definition_id, state, total, succeeded, next_seq, fair_key, created_at, "
            "completed_at) VALUES (:public, :definition, 'completed', :results, :results, :results + 1, '', now(), "
            "now()) RETURNING id"
        ),
        given | {"definition": definition},
    )
    connection.execute(text(_FILL), given | {"batch": batch, "body": _BODY})
    inserted = connection.scalar(
        text(
            "INSERT INTO exports (batch_id, number, target, state, due_at, created_at) "
            "VALUES (:batch, 1, :target, 'running', now(), now()) RETURNING id"
        ),
        given | {"batch": batch},
    )
    assert isinstance(inserted, int)
    return inserted


def _export(context: Context, export_id: int, kills: int) -> tuple[float, float]:
    """Return the seconds from the start of the first process to the end, and the peak of a process in MiB."""
    rng = random.Random(1)
    peak, started = 0.0, time.monotonic()
    while True:
        end = time.monotonic() + rng.uniform(0.5, KILL_SECONDS) if kills > 0 else float("inf")
        with subprocess.Popen([sys.executable, "-m", "benchmarks.exports", "--work"], cwd=ROOT) as running:
            while running.poll() is None and time.monotonic() < end:
                peak = max(peak, status_of(running.pid, "VmHWM"))
                time.sleep(LOOK_SECONDS)
            if running.poll() is None:
                running.kill()
                kills -= 1
        with context.database.read() as connection:
            row = exports.find_by_id(connection, export_id)
        assert row is not None
        if row["state"] == "complete":
            return time.monotonic() - started, peak
        if running.returncode > 0 or row["last_error"]:
            raise click.ClickException(f"the export failed ({row['last_error']}); this run does not count")


def _work() -> None:
    """Export whatever there is to the end, as a worker does."""
    context = make_context(load())
    runner = ExportRunner(context, batch_id=None, is_stopped=lambda: False)
    while True:
        with context.database.read() as connection:
            if not exports.is_any_running(connection, None):
                return
        for export_id in runner.find_work():
            runner.run(export_id)
        time.sleep(LOOK_SECONDS)


def _verified(context: Context, export_id: int) -> Verified:
    with context.database.read() as connection:
        row = exports.find_by_id(connection, export_id)
    assert row is not None
    found = verify(context, row)
    if found.problems:
        raise click.ClickException(f"the export is wrong ({found.problems[0]}); this run does not count")
    return found


if __name__ == "__main__":
    main()
