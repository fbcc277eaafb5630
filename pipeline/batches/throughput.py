"""How fast a batch goes right now."""

from __future__ import annotations

from pipeline.batches.find import find_batch
from pipeline.batches.sql import throughput
from pipeline.context import Context

#: Items looked back on; the rate falls by itself when nothing follows them.
LOOK_BACK = 500


def rate(context: Context, batch: str) -> float:
    """Return the items that the batch finished per second lately; 0 where it finished none."""
    with context.database.read() as connection:
        recent = throughput.recent(connection, find_batch(connection, batch)["id"], LOOK_BACK)
    if recent is None:
        return 0.0
    count, since = recent
    return count / max((context.now() - since).total_seconds(), 0.001)
