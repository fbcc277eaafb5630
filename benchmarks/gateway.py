"""The HTTP API beside the same job by hand: FastAPI, SQLAlchemy, a polling loop per connection, offset pages.

python -m benchmarks.gateway [--database postgresql|sqlite] [--only upload,reading,answers,service] [--json FILE]
"""

from __future__ import annotations

import http.client
import json
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import click

import pipeline
from benchmarks import gateway_reading, gateway_service, gateway_upload
from benchmarks.figures import Figures
from benchmarks.gateway_reading import EventServer, at_url, running
from benchmarks.growth import generate
from pipeline.context import Context
from tests.support.event_logs import write_batch
from tests.support.factories import client_context

PARTS = ("upload", "reading", "answers", "service")


@dataclass(frozen=True, slots=True)
class Finding:
    """One number.

    Args:
        goal: what it should be, at most; with `is_floor`, at least.
        peer: that of the way by hand, where it does the same.
        advantage: how many times better ours is.
    """

    number: str
    what: str
    ours: float
    goal: float
    is_floor: bool = False
    peer: float | None = None
    advantage: float | None = None

    @property
    def is_met(self) -> bool:
        return self.ours >= self.goal if self.is_floor else self.ours <= self.goal


def upload_findings(kind: str, url: str, folder: Path, items: int, large: int) -> list[Finding]:
    """Measure N1 and N2."""
    figures = gateway_upload.table()
    gateway_upload.measure_uploads(figures, kind, items=items, rounds=3, large=large)
    by_name = {str(row["what"]): row for row in figures.rows}
    upload = by_name["upload"]
    file = generate(folder / "by-hand.jsonl", items)
    with running("by-hand", url, folder) as server:
        peer = _upload_by_hand(server, file)
    seconds, ratio = _number(upload, "seconds"), _number(upload, "ratio")
    found = [Finding("N1", f"{items:,} items, beside client.submit", ratio, 1.25, peer=peer, advantage=peer / seconds)]
    for name in (f"upload of {large:,}", f"the same in {gateway_upload.PARTS} parts"):
        if name in by_name:
            found.append(Finding("N2", f"{name}, MiB more", _number(by_name[name], "growth, MiB"), 100))
    return found


def _upload_by_hand(server: EventServer, file: Path) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)
    body, start = file.read_bytes(), time.monotonic()
    connection.request("POST", "/v1/batches", body, {"Content-Type": "application/x-ndjson"})
    answer = connection.getresponse()
    answer.read()
    if answer.status != 201:
        raise click.ClickException(f"the way by hand answered {answer.status}")
    return time.monotonic() - start


def reading_findings(kind: str, url: str, folder: Path, context: Context, readers: int) -> list[Finding]:
    """Measure N3 to N6."""
    following, idling, download = gateway_reading.tables()
    large = gateway_reading.write_large(context, folder)
    for each in ("ours", "by-hand"):
        with running(each, url, folder) as server:
            gateway_reading.measure_download(download, server, large)
        with running(each, url, folder) as server:
            gateway_reading.measure_idling(idling, context, server, folder, readers=readers)
        for number, rate in ((1, 100), (readers, 200)):
            with running(each, url, folder) as server:
                gateway_reading.measure_following(
                    following, context, server, folder, readers=number, rate=rate, seconds=8
                )
    one, many, one_peer, many_peer = following.rows
    idle = idling.rows[0]
    whole, whole_peer = download.rows

    def beside(
        number: str, what: str, column: str, goal: float, mine: dict[str, object], theirs: dict[str, object]
    ) -> Finding:
        ours, peer = _number(mine, column), _number(theirs, column)
        return Finding(number, what, ours, goal, peer=peer, advantage=peer / ours if ours else None)

    lag = 80 if kind == "sqlite" else 150
    return [
        beside("N3", "one reader, 100/s, p95 ms", "p95 ms", lag, one, one_peer),
        beside("N4", f"{readers:,} readers, 200/s, p95 ms", "p95 ms", 1_000, many, many_peer),
        beside("N4", "the same, % of a core", "core %", 100, many, many_peer),
        beside("N4", "the same, statements a second", "stmt/s", 25, many, many_peer),
        Finding("N4", "the same, MiB", _number(many, "MiB"), 300),
        Finding("N5", f"{readers:,} idle streams, KiB each", _number(idle, "KiB each"), 16),
        Finding("N5", "the same, % of a core", _number(idle, "core %"), 2),
        beside("N6", "100,000 results, seconds", "seconds", 2, whole, whole_peer),
        Finding("N6", "the same, MiB more", _number(whole, "MiB more"), 50),
    ]


def answer_findings(url: str, folder: Path, context: Context) -> list[Finding]:
    """Measure N7."""
    figures = Figures("answers", {"per s": ".0f", "p50 ms": ".1f", "p95 ms": ".1f"})
    batch = write_batch(context, folder, 1_000)
    batch.finish(500)
    found = []
    for kind in ("ours", "by-hand"):
        with running(kind, url, folder) as server:
            found.append(gateway_service.measure_answers(figures, server, server.path(batch, "").rstrip("/"), 5))
    (rate, late), (peer_rate, peer_late) = found
    return [
        Finding("N7", "GET of a batch, 64 connections, per s", rate, 1_200, True, peer_rate, rate / peer_rate),
        Finding("N7", "the same, p95 ms", late, 80, False, peer_late, peer_late / late),
    ]


def service_findings(folder: Path, items: int) -> list[Finding]:
    """Measure N8 to N10, on SQLite and with the worker of the server."""
    figures = Figures("service", {"figure": ".2f"})
    found = gateway_service.measure_service(figures, folder, f"sqlite:///{folder / 'service.db'}", items=items)
    return [
        Finding("N8", "classify, one at a time, p95 ms", found["alone"], 120),
        Finding("N8", "the same while a batch runs, p95 ms", found["beside"], 500),
        Finding("N9", "items/s with 100 readers, of without", found["cost"], 0.95, True),
        Finding("N10", "ready, seconds", found["ready"], 1.5),
    ]


def show(findings: list[Finding]) -> None:
    """Print the numbers as a table."""
    click.echo(f"\n{'':<4} {'':<44}{'ours':>10}{'goal':>10}{'by hand':>10}{'times':>8}  met")
    for each in findings:
        peer = "" if each.peer is None else f"{each.peer:,.2f}"
        times = "" if each.advantage is None else f"{each.advantage:,.1f}"
        sign = "≥" if each.is_floor else "≤"
        goal = f"{sign} {each.goal:g}"
        met = "yes" if each.is_met else "no"
        click.echo(f"{each.number:<4} {each.what:<44}{each.ours:>10,.2f}{goal:>10}{peer:>10}{times:>8}  {met}")


def _number(row: dict[str, object], column: str) -> float:
    value = row[column]
    assert isinstance(value, int | float)
    return float(value)


@click.command()
@click.option("--database", type=click.Choice(["postgresql", "sqlite"]), default="postgresql", show_default=True)
@click.option("--only", default=",".join(PARTS), show_default=True, help="Parts to measure, separated by commas.")
@click.option("--readers", default=1_000, show_default=True)
@click.option("--items", default=100_000, show_default=True, help="Of an upload whose time is measured.")
@click.option("--large", default=1_000_000, show_default=True, help="Of an upload whose memory is measured; 0: none.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="File that takes the figures as JSON.")
def main(database: str, only: str, readers: int, items: int, large: int, json_file: Path | None) -> None:
    """Measure the HTTP API."""
    parts = only.split(",")
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        raise click.UsageError(f"there is no part {unknown[0]!r}; choose from {', '.join(PARTS)}")
    findings: list[Finding] = []
    with tempfile.TemporaryDirectory(prefix="pipeline-benchmark-") as name, at_url(database, Path(name)) as url:
        folder = Path(name)
        with pipeline.connect(database_url=url) as client:
            context = client_context(client)
            if "upload" in parts:
                findings += upload_findings(database, url, folder, items, large)
            if "reading" in parts:
                findings += reading_findings(database, url, folder, context, readers)
            if "answers" in parts:
                findings += answer_findings(url, folder, context)
        if "service" in parts:
            findings += service_findings(folder, min(items, 20_000))
    show(findings)
    if json_file is not None:
        json_file.write_text(json.dumps([asdict(each) | {"is_met": each.is_met} for each in findings], indent=2) + "\n")


if __name__ == "__main__":
    main()
