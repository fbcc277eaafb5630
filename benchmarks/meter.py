"""What an item costs each part: processor time, log and space of the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import text

from benchmarks.processes import processor_seconds
from benchmarks.stand import Stand
from tests.support.servers.server import Server


@dataclass(frozen=True)
class Reading:
    """What was used since the start."""

    #: Of each part, in seconds of a core.
    processor: Mapping[str, float]
    #: Bytes.
    log: float
    space: float

    def __sub__(self, earlier: Reading) -> Reading:
        processor = {part: seconds - earlier.processor[part] for part, seconds in self.processor.items()}
        return Reading(processor, self.log - earlier.log, self.space - earlier.space)


def read(ready: Stand) -> Reading:
    """Return what the parts of a stand have used."""
    control, *stages = ready.cluster.workers
    parts: dict[str, Sequence[Server]] = {
        "stages": stages,
        "control": [control],
        "broker": [ready.broker],
        "PostgreSQL": [ready.postgres],
    }
    with ready.cluster.database.read() as connection:
        log = connection.scalar(text("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn"))
        space = connection.scalar(text("SELECT pg_database_size(current_database())"))
    return Reading(
        {name: processor_seconds(servers) for name, servers in parts.items()}, float(log or 0), float(space or 0)
    )
