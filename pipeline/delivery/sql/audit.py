"""Which events of a batch owe a callback that no delivery stands for. The statement reads the whole log."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, bindparam, text

from pipeline.database.instant import Instant
from pipeline.domain.event import RESULT_TYPES, EventType

_RESULTS = ", ".join(f"'{kind}'" for kind in sorted(RESULT_TYPES))

# An item whose URL is the batch's owes one callback, not two. Deliveries are counted and not compared by URL: a URL
# may be a template that each delivery has filled in.
_UNOWED = text(
    f"""
    SELECT e.seq FROM events e
    JOIN batches b ON b.id = e.batch_id
    LEFT JOIN items i ON i.id = e.item_id
    WHERE e.batch_id = :batch_id AND e.created_at >= :since
        AND CASE
            WHEN e.type = '{EventType.BATCH_COMPLETED}' THEN CASE WHEN b.batch_callback_url IS NULL THEN 0 ELSE 1 END
            WHEN e.type IN ({_RESULTS}) THEN
                CASE WHEN b.callback_url IS NULL THEN 0 ELSE 1 END
                + CASE WHEN i.callback_url IS NULL OR i.callback_url = b.callback_url THEN 0 ELSE 1 END
            ELSE 0 END
            > (SELECT count(*) FROM deliveries d WHERE d.batch_id = e.batch_id AND d.seq = e.seq)
    ORDER BY e.seq
    """
).bindparams(bindparam("since", type_=Instant))


def find_unowed(connection: Connection, batch_id: int, since: datetime) -> list[int]:
    """Return the `seq` of events since then with fewer deliveries than callback URLs."""
    found = connection.execute(_UNOWED, {"batch_id": batch_id, "since": since})
    return [int(seq) for (seq,) in found]
