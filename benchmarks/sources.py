"""How fast items are read from each kind of file and stored, and the most memory that takes.

python -m benchmarks.sources [--rows 1000000] [--format csv --format xlsx] [--on sqlite|postgresql] [--json FILE]
"""

from __future__ import annotations

import csv
import gzip
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import orjson

from benchmarks.figures import Figures, json_option, write
from benchmarks.processes import status_of
from benchmarks.stand import DEFINITION, stand
from tests.support.paths import ROOT

_TEXT = "The invoice of last month is wrong, please have a look at it and send another one, thank you very much. " * 2
_FORMATS = ("csv", "jsonl", "csv.gz", "csv.zst", "parquet", "arrow", "xlsx")
_LOOK_SECONDS = 0.01
#: Rows written at once.
_CHUNK = 100_000
#: What somebody would write: each row as JSON into one table, in one transaction.
_BY_HAND = """
import csv, json, sqlite3, sys
with open(sys.argv[1], newline="") as file, sqlite3.connect(sys.argv[2]) as database:
    database.execute("CREATE TABLE items (position INTEGER PRIMARY KEY, payload TEXT)")
    rows = ((number, json.dumps(row)) for number, row in enumerate(csv.DictReader(file)))
    database.executemany("INSERT INTO items VALUES (?, ?)", rows)
"""


@click.command()
@click.option("--rows", default=1_000_000, show_default=True)
@click.option("--format", "formats", multiple=True, type=click.Choice(_FORMATS), default=_FORMATS)
@click.option("--on", "kind", type=click.Choice(["postgresql", "sqlite"]), default="sqlite", show_default=True)
@json_option
def main(rows: int, formats: tuple[str, ...], kind: str, json_file: Path | None) -> None:
    """Measure `pipeline submit` from its start to its end, in a fresh process for each file."""
    figures = Figures(
        "file", {"MiB": ",.0f", "seconds": ".1f", "rows/s": ",.0f", "peak, MiB": ",.0f", "by hand": ".2f"}
    )
    with _place(kind) as (folder, environment):
        table = _write(folder / "by_hand.csv", rows)
        by_hand, _ = _run([sys.executable, "-c", _BY_HAND, str(table), str(folder / "by_hand.db")], folder, environment)
        for each in formats:
            file = _write(folder / f"items.{each}", rows)
            command = [sys.executable, "-m", "pipeline", "submit", str(file), "-p", "benchmark.toml", "--quiet"]
            seconds, peak = _run(command, folder, environment)
            figures.add(each, file.stat().st_size / 2**20, seconds, rows / seconds, peak, by_hand / seconds)
            file.unlink()
    write(json_file, figures)


@contextmanager
def _place(kind: str) -> Iterator[tuple[Path, dict[str, str]]]:
    if kind == "postgresql":
        with stand(processes=0) as ready:
            yield ready.cluster.folder, ready.cluster.environment
        return
    with tempfile.TemporaryDirectory(prefix="pipeline-benchmark-") as name:
        folder = Path(name)
        (folder / "benchmark.toml").write_text(DEFINITION)
        yield folder, {"PIPELINE_DATABASE_URL": f"sqlite:///{folder}/pipeline.db", "PYTHONPATH": str(ROOT)}


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> tuple[float, float]:
    """Return the seconds that a process takes, and the peak of its memory in MiB."""
    peak, started = 0.0, time.monotonic()
    with subprocess.Popen(command, cwd=folder, env=os.environ | environment, stdout=subprocess.DEVNULL) as running:
        while running.poll() is None:
            peak = max(peak, status_of(running.pid, "VmHWM"))
            time.sleep(_LOOK_SECONDS)
        seconds = time.monotonic() - started
    if running.returncode:
        raise click.ClickException(f"{command[:5]} failed; this run does not count")
    return seconds, peak


def _write(path: Path, rows: int) -> Path:
    """Write a file with this many rows of about 200 bytes, by its suffix."""
    suffix = path.name.partition(".")[2]
    _WRITERS[suffix](path, rows)
    return path


def _items(rows: int) -> Iterator[dict[str, str]]:
    return ({"id": str(number), "text": f"{number} {_TEXT}"[:190]} for number in range(rows))


def _write_csv(path: Path, rows: int, opener: Callable[..., object] = open) -> None:
    with opener(path, "wt", newline="", encoding="utf-8") as file:  # type: ignore[attr-defined]  # a text file
        writer = csv.DictWriter(file, ["id", "text"])
        writer.writeheader()
        writer.writerows(_items(rows))


def _write_jsonl(path: Path, rows: int) -> None:
    with path.open("wb") as file:
        file.writelines(orjson.dumps(item, option=orjson.OPT_APPEND_NEWLINE) for item in _items(rows))


def _write_zstd(path: Path, rows: int) -> None:
    plain = path.with_suffix("")
    _write_csv(plain, rows)
    subprocess.run(["zstd", "--quiet", "--rm", str(plain), "-o", str(path)], check=True)


def _write_arrow(path: Path, rows: int) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema([("id", pa.string()), ("text", pa.string())])
    is_parquet = path.suffix == ".parquet"
    opener = parquet.ParquetWriter if is_parquet else pa.ipc.new_file
    items = _items(rows)
    with opener(str(path), schema) as writer:
        while chunk := [item for _, item in zip(range(_CHUNK), items, strict=False)]:
            writer.write_table(pa.Table.from_pylist(chunk, schema))


def _write_xlsx(path: Path, rows: int) -> None:
    import openpyxl

    workbook = openpyxl.Workbook(write_only=True)
    sheet = workbook.create_sheet()
    sheet.append(["id", "text"])
    for item in _items(min(rows, 1_048_575)):
        sheet.append(list(item.values()))
    workbook.save(path)


_WRITERS: dict[str, Callable[[Path, int], None]] = {
    "csv": _write_csv,
    "jsonl": _write_jsonl,
    "csv.gz": lambda path, rows: _write_csv(path, rows, gzip.open),
    "csv.zst": _write_zstd,
    "parquet": _write_arrow,
    "arrow": _write_arrow,
    "xlsx": _write_xlsx,
}


if __name__ == "__main__":
    main()
