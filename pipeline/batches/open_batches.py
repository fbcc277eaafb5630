"""How many batches of a kind a tenant has open."""

from __future__ import annotations

from pipeline.batches.sql import backlog, batches
from pipeline.batches.submission import Submission
from pipeline.context import Context
from pipeline.errors import BacklogFull


def refuse_too_many(context: Context, submission: Submission, *, total: int, limit: int) -> None:
    """Refuse a batch whose tenant has many open ones of the same size and weight, unless it repeats another.

    Args:
        total: number of its items.
        limit: of open batches.

    Raises:
        BacklogFull: there are that many.
    """
    key = submission.idempotency_key
    with context.database.read() as connection:
        if key is not None and batches.find_by_idempotency_key(connection, submission.tenant, key) is not None:
            return
        count = backlog.count_open(connection, submission.tenant, total=total, weight=submission.weight, limit=limit)
    if count >= limit:
        raise BacklogFull(f"{count:,} such batches are open already; try again when some are done")
