"""`pipeline submit`, killed by lot until its batch is accepted: what a resumption costs, and whether an item is lost.

python -m benchmarks.resumption [--items 100000] [--rounds 50] [--kind jsonl|csv.gz|sqlite] [--on postgresql|sqlite]
                                [--seed 1] [--json FILE]
"""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import click
from sqlalchemy import text

from benchmarks.figures import Figures, json_option, write
from benchmarks.growth import generate
from benchmarks.processes import status_of
from benchmarks.submission import place
from pipeline.database.engine import Database
from pipeline.database.schema import upgrade_schema

LOOK_SECONDS = 0.005
KINDS = ("jsonl", "csv.gz", "sqlite")


@click.command()
@click.option("--items", default=100_000, show_default=True)
@click.option("--rounds", default=50, show_default=True, help="Submissions, each killed at least once.")
@click.option("--kills", default=1, show_default=True, help="Of each submission.")
@click.option("--kind", type=click.Choice(KINDS), default="jsonl", show_default=True, help="What is read.")
@click.option("--on", "database", type=click.Choice(["postgresql", "sqlite"]), default="postgresql", show_default=True)
@click.option("--seed", default=1, show_default=True)
@json_option
def main(items: int, rounds: int, kills: int, kind: str, database: str, seed: int, json_file: Path | None) -> None:
    """Measure the time from the start of the resuming process to its first new item, and its peak of memory."""
    lot = random.Random(seed)
    heads = {"killed at": ",.0f", "first new, s": ".2f", "whole, s": ".1f", "peak, MiB": ",.0f"}
    figures = Figures("round", heads)
    with place(database) as (folder, environment):
        source = _write_source(folder, items, kind)
        opened = Database(environment["PIPELINE_DATABASE_URL"])
        upgrade_schema(opened)
        for number in range(1, rounds + 1):
            submission = _Submission(_command(source, f"round-{number}"), folder, environment, f"round-{number}")
            row = _round(submission, opened, [lot.uniform(0.05, 0.95) * items for _ in range(kills)])
            _require(opened, submission.key, items)
            figures.add(f"{number}", *row)
        opened.close()
    write(json_file, figures)


def _write_source(folder: Path, items: int, kind: str) -> list[str]:
    """Write the items, and return the words of the command that name them."""
    lines = generate(folder / "items.jsonl", items)
    if kind == "jsonl":
        return [str(lines)]
    rows = ((number, "x" * 180) for number in range(items))
    if kind == "sqlite":
        with closing(sqlite3.connect(folder / "source.db")) as file, file:
            file.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, text TEXT)")
            file.executemany("INSERT INTO rows VALUES (?, ?)", rows)
        return [f"sqlite:///{folder / 'source.db'}", "--query", "SELECT * FROM rows", "--order-by", "id"]
    path = folder / "items.csv.gz"
    with gzip.open(path, "wt", compresslevel=1) as packed:
        packed.write("id,text\n")
        packed.writelines(f"{number},{content}\n" for number, content in rows)
    return [str(path)]


def _command(source: list[str], key: str) -> list[str]:
    words = ["submit", *source, "--definition", "benchmark.toml", "--idempotency-key", key, "--quiet"]
    return [sys.executable, "-m", "pipeline", *words]


class _Submission(NamedTuple):
    command: list[str]
    folder: Path
    environment: Mapping[str, str]
    key: str

    def start(self) -> subprocess.Popen[bytes]:
        environment = os.environ | self.environment
        return subprocess.Popen(self.command, cwd=self.folder, env=environment, stdout=subprocess.DEVNULL)


def _round(submission: _Submission, database: Database, kills: list[float]) -> tuple[float, float, float, float]:
    """Submit, kill at numbers of stored items, and submit again to the end. Return a row of the table."""
    began, before = time.monotonic(), 0
    for wanted in sorted(kills):
        with submission.start() as running:
            while running.poll() is None and _stored(database, submission.key) < wanted:
                time.sleep(LOOK_SECONDS)
            running.send_signal(signal.SIGKILL)
        before = _stored(database, submission.key)
    resumed, peak, first = time.monotonic(), 0.0, None
    with submission.start() as running:
        while running.poll() is None:
            if first is None and _stored(database, submission.key) > before:
                first = time.monotonic() - resumed
            peak = max(peak, status_of(running.pid, "VmHWM"))
            time.sleep(LOOK_SECONDS)
    if running.returncode:
        raise click.ClickException("the submission that goes on failed; this run does not count")
    whole = time.monotonic() - began
    return before, whole if first is None else first, whole, peak


def _stored(database: Database, key: str) -> int:
    """Return how many items of a submission are stored."""
    query = text("SELECT total, cursor FROM batches WHERE idempotency_key = :key")
    with database.read() as connection:
        found = connection.execute(query, {"key": key}).first()
    if found is None:
        return 0
    return int(found.total) if found.cursor is None else int(json.loads(found.cursor)["stored"])


def _require(database: Database, key: str, items: int) -> None:
    """See to it that the batch has each item once, in order."""
    query = "SELECT count(*), count(DISTINCT position), min(position), max(position) FROM items WHERE batch_id = :batch"
    with database.read() as connection:
        found = connection.execute(
            text("SELECT id, total FROM batches WHERE idempotency_key = :key AND state <> 'accepting'"), {"key": key}
        ).all()
        rows = [tuple(connection.execute(text(query), {"batch": batch}).one()) for batch, _ in found]
    if [total for _, total in found] != [items] or rows != [(items, items, 1, items)]:
        raise click.ClickException(f"items were lost or doubled: {found}, {rows}")


if __name__ == "__main__":
    main()
