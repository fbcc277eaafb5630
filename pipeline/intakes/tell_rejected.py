"""Write `item.rejected` to the log of the open batch for messages that cannot be items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from pipeline.batches.sql import batches, events
from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.domain.event import EventType, encode_body, rejected_data
from pipeline.hooks import Happening
from pipeline.intakes.sql import open_batches


def tell_rejected(
    context: Context,
    connection: Connection,
    batch_id: int,
    intake: Row,
    rejected: Sequence[Mapping[str, Any]],
    reject_to: str | None,
) -> None:
    """Write one event for each message, in the transaction that accepts its chunk. The batch is locked.

    Args:
        rejected: the messages, as they are kept.
        reject_to: URL that is owed the events; None: nobody is.
    """
    if not rejected:
        return
    now = context.now()
    kind = EventType.ITEM_REJECTED
    batch = open_batches.find(connection, batch_id)
    first = batches.reserve_seqs(connection, batch_id, len(rejected))
    happenings = [
        Happening(
            batch_row=batch_id,
            seq=seq,
            type=kind,
            item_row=None,
            body=encode_body(kind, now, rejected_data(batch["public_id"], seq, intake, each)),
            callback_urls=(reject_to,) if reject_to else (),
            public_id=batch["public_id"],
            schedule=batch["schedule"],
        )
        for seq, each in enumerate(rejected, first)
    ]
    added = [{"seq": each.seq, "type": kind.value, "item_id": None, "body": each.body} for each in happenings]
    events.add(connection, batch_id, added, now)
    context.hooks.run(connection, happenings, now)
