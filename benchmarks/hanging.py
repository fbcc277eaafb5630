"""What deliveries to a healthy endpoint wait while another one hangs with a backlog.

python -m benchmarks.hanging [--backlog 10000] [--healthy 100]
"""

from __future__ import annotations

import tempfile
import time
from datetime import datetime

import click
from sqlalchemy import text

from benchmarks.delivery import sink
from pipeline.database.engine import Database
from pipeline.database.instant import Instant
from pipeline.database.schema import upgrade_schema
from pipeline.delivery.webhook.options import SenderOptions
from tests.support.receivers.owed import BODY, make_sender, owe, owe_next, to, wait_until
from tests.support.servers.postgres import Postgres

#: The healthy endpoint's are owed in so many parts, from the first hanging request to the breaker and beyond.
PARTS = 10
PAUSE_SECONDS = 2.0

_STARTS = text(
    """
    SELECT coalesce(d.started_at, a.started_at) AS started_at, d.created_at
    FROM deliveries d LEFT JOIN attempts a ON a.delivery_id = d.id AND a.number = 1
    WHERE d.origin = :origin AND (d.started_at IS NOT NULL OR a.id IS NOT NULL)
    """
)


@click.command()
@click.option("--backlog", default=10_000, show_default=True, help="Due at the endpoint that hangs.")
@click.option("--healthy", default=100, show_default=True, help="Deliveries to the one that answers.")
def main(backlog: int, healthy: int) -> None:
    """Measure from the commit of what is owed to the start of its request."""
    with tempfile.TemporaryDirectory(prefix="pipeline-benchmark-") as folder, Postgres() as postgres:
        for kind, url in (("SQLite", f"sqlite:///{folder}/pipeline.db"), ("PostgreSQL", postgres.database())):
            with sink("--silent") as hangs, sink() as answers:
                delays = sorted(_delays(url, hangs, answers, backlog, healthy))
            last = delays[min(int(len(delays) * 0.99), len(delays) - 1)]
            click.echo(f"{kind:<11} p50 {delays[len(delays) // 2] * 1e3:.0f} ms, p99 {last * 1e3:.0f} ms")


def _delays(url: str, hangs: int, answers: int, backlog: int, healthy: int) -> list[float]:
    database = Database(url)
    upgrade_schema(database)
    owe(database, to(*[hangs] * backlog))
    sender = make_sender(database, options=SenderOptions())
    sender.start()
    (target,) = to(answers)
    for part in range(PARTS):
        first, end = (backlog + 1 + healthy * number // PARTS for number in (part, part + 1))
        owe_next(database, [(target, BODY)] * (end - first), first)
        sender.wake()
        time.sleep(PAUSE_SECONDS)
    wait_until(lambda: len(_starts(database, target[1])) == healthy)
    sender.stop(0)
    found = _starts(database, target[1])
    database.close()
    return [(started - created).total_seconds() for started, created in found]


def _starts(database: Database, origin: str) -> list[tuple[datetime, datetime]]:
    with database.read() as connection:
        rows = connection.execute(_STARTS.columns(started_at=Instant, created_at=Instant), {"origin": origin})
        return [(row.started_at, row.created_at) for row in rows]


if __name__ == "__main__":
    main()
