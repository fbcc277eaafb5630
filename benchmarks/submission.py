"""`pipeline submit`: how fast a file is taken in, and the most memory that takes.

python -m benchmarks.submission [--items 100000 --items 1000000] [--rounds 3] [--on postgresql|sqlite] [--json FILE]
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from sqlalchemy import text

from benchmarks.figures import Figures, json_option, write
from benchmarks.growth import MIB, generate
from benchmarks.processes import status_of
from benchmarks.stand import DEFINITION, stand
from pipeline.database.engine import Database
from tests.support.paths import ROOT

LOOK_SECONDS = 0.01


@click.command()
@click.option("--items", "sizes", multiple=True, default=(100_000,), show_default=True, help="May be given again.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--on", "kind", type=click.Choice(["postgresql", "sqlite"]), default="postgresql", show_default=True)
@json_option
def main(sizes: tuple[int, ...], rounds: int, kind: str, json_file: Path | None) -> None:
    """Measure the command from its start to its end, that of the interpreter included; nothing works on the batch."""
    figures = Figures("items", {"MiB": ",.0f", "seconds": ".2f", "items/s": ",.0f", "peak, MiB": ",.0f"})
    with place(kind) as (folder, environment):
        for items in sizes:
            file = generate(folder / "items.jsonl", items)
            for _ in range(rounds):
                seconds, peak = _submit(folder, environment, file)
                _require(environment["PIPELINE_DATABASE_URL"], items)
                figures.add(f"{items:,}", file.stat().st_size / MIB, seconds, items / seconds, peak)
    write(json_file, figures)


@contextmanager
def place(kind: str) -> Iterator[tuple[Path, dict[str, str]]]:
    """Yield a folder with a definition, and the environment that names the servers."""
    if kind == "postgresql":
        with stand(processes=0) as ready:
            yield ready.cluster.folder, ready.cluster.environment
        return
    with tempfile.TemporaryDirectory(prefix="pipeline-benchmark-") as name:
        folder = Path(name)
        (folder / "benchmark.toml").write_text(DEFINITION)
        yield folder, {"PIPELINE_DATABASE_URL": f"sqlite:///{folder}/pipeline.db", "PYTHONPATH": str(ROOT)}


def _submit(folder: Path, environment: dict[str, str], file: Path) -> tuple[float, float]:
    """Return the seconds it takes and the peak of its memory in MiB."""
    command = [sys.executable, "-m", "pipeline", "submit", str(file), "--definition", "benchmark.toml", "--quiet"]
    peak, started = 0.0, time.monotonic()
    with subprocess.Popen(command, cwd=folder, env=os.environ | environment, stdout=subprocess.DEVNULL) as running:
        while running.poll() is None:
            peak = max(peak, status_of(running.pid, "VmHWM"))
            time.sleep(LOOK_SECONDS)
        seconds = time.monotonic() - started
    if running.returncode:
        raise click.ClickException("`pipeline submit` failed; this run does not count")
    return seconds, peak


def _require(url: str, items: int) -> None:
    """See to it that the newest batch has its items."""
    database = Database(url)
    with database.read() as connection:
        batch = connection.scalar(text("SELECT max(id) FROM batches WHERE state = 'running'"))
        stored = connection.scalar(text("SELECT count(*) FROM items WHERE batch_id = :batch"), {"batch": batch})
    database.close()
    if stored != items:
        raise click.ClickException(f"this run does not count: {stored} items stored, not {items}")


if __name__ == "__main__":
    main()
