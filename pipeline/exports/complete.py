"""Complete an export: note it, and tell the batch's callback URL, in one transaction."""

from __future__ import annotations

from sqlalchemy import Connection

from pipeline.batches.sql import batches, events
from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.domain import event
from pipeline.domain.event import EventType
from pipeline.exports.lease import ExportLease
from pipeline.exports.sql import exports
from pipeline.hooks import Happening
from pipeline.log import get_logger

log = get_logger(__name__)


def complete(
    context: Context, row: Row, lease: ExportLease, *, completion: int, manifest: str | None, goes_on: bool = False
) -> None:
    """Note that every result of a batch is written, and emit `export.completed`.

    If the batch runs again meanwhile, this completion counts, and the export goes on.

    Args:
        row: the export's row, with how far its batch was when everything was written.
        manifest: where its manifest is; None: it has none.
        goes_on: there is more to write in any case.
    """
    with context.database.write() as connection:
        # The batch first, in the order of all locks.
        batch = exports.find_batch(connection, row["batch_id"], lock=True)
        lease.require(batch is not None)
        assert batch is not None
        goes_on = goes_on or batch["completed_at"] != row["batch_completed_at"]
        now = context.now()
        changed = exports.complete(
            connection, row["id"], context.worker, completion=completion, goes_on=goes_on, now=now
        )
        lease.require(changed is not None)
        assert changed is not None
        _emit(context, connection, batch, {**changed, "finished_at": now}, manifest)
    log.info(
        "export_completed",
        batch=batch["public_id"],
        export=row["id"],
        target=row["target"],
        rows=changed["rows"],
        parts=changed["parts"],
    )


def _emit(context: Context, connection: Connection, batch: Row, row: Row, manifest: str | None) -> None:
    now = context.now()
    seq = batches.reserve_seqs(connection, batch["id"], 1)
    data = event.export_data(batch["public_id"], seq, row, manifest)
    body = event.encode_body(EventType.EXPORT_COMPLETED, now, data)
    kind = EventType.EXPORT_COMPLETED
    events.add(connection, batch["id"], [{"seq": seq, "type": kind.value, "item_id": None, "body": body}], now)
    url = batch["batch_callback_url"]
    happening = Happening(
        batch_row=batch["id"],
        seq=seq,
        type=kind,
        item_row=None,
        body=body,
        callback_urls=(url,) if url else (),
        public_id=batch["public_id"],
        schedule=batch["schedule"],
    )
    context.hooks.run(connection, [happening], now)
