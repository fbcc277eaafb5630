"""Export a batch to a table: chunks of rows, each in a transaction of the table's database that also says how far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.domain.event import cut_data
from pipeline.domain.urls.export_target import ExportTarget, TableMode
from pipeline.errors import TargetConflict
from pipeline.exports.complete import complete
from pipeline.exports.lease import ExportLease
from pipeline.exports.rules.table_rows import newest_by_key, table_row
from pipeline.exports.sql import event_log, exports
from pipeline.exports.sql.event_log import LoggedResult
from pipeline.exports.targets.result_table import RowRefused

if TYPE_CHECKING:
    from pipeline.exports.targets.result_table import ResultTable

#: Rows of one transaction.
CHUNK_ROWS = 5_000


class ExportToTable:
    """One attempt at an export to a table."""

    def __init__(
        self, context: Context, export_id: int, target: ExportTarget, table: ResultTable, lease: ExportLease
    ) -> None:
        self._context = context
        self._export_id = export_id
        self._is_upsert = target.options.mode is TableMode.UPSERT
        self._table = table
        self._lease = lease
        self._next_seq: int | None = None

    def advance(self) -> bool:
        """Take the next step. Return False if there is none now."""
        self._lease.check()
        if self._next_seq is None:
            self._next_seq = self._table.next_seq()
        with self._context.database.read() as connection:
            row = exports.find_by_id(connection, self._export_id)
            self._lease.require(row is not None and row["worker"] == self._context.worker)
            assert row is not None
            last = row["batch_next_seq"] - 1
            found = event_log.find_results(
                connection, row["batch_id"], self._next_seq - 1, last, limit=CHUNK_ROWS, with_payload=False
            )
        if found:
            self._write(row, found)
            return True
        self._note(row, self._next_seq)
        if row["batch_completed_at"] is not None:
            complete(self._context, row, self._lease, completion=row["completions"] + 1, manifest=None)
        return False

    def _write(self, row: Row, found: list[LoggedResult]) -> None:
        """Write a chunk, halved while a row in it is refused, so that all before that row arrive."""
        assert self._next_seq is not None
        rows = [table_row(orjson.loads(cut_data(each.body))) for each in found]
        while True:
            self._lease.check()
            chosen: list[Any] = newest_by_key(rows) if self._is_upsert else rows
            try:
                next_seq = self._table.add(chosen, from_seq=self._next_seq, next_seq=rows[-1]["seq"] + 1)
            except RowRefused as refused:
                if len(rows) == 1:
                    raise TargetConflict(
                        f"the table refuses the result with seq {rows[0]['seq']} ({rows[0]['item_id']}): "
                        f"{refused.reason}; nothing is skipped: change the table, then run `pipeline exports retry`"
                    ) from None
                rows = rows[: len(rows) // 2]
                continue
            self._next_seq = next_seq
            self._note(row, next_seq)
            return

    def _note(self, row: Row, next_seq: int) -> None:
        """Note in our database how far the table is, for people to see; the table itself decides."""
        with self._context.database.write() as connection:
            added = event_log.count_results(connection, row["batch_id"], row["next_seq"], next_seq)
            is_held = exports.set_reached(connection, row["id"], self._context.worker, next_seq=next_seq, added=added)
            self._lease.require(is_held)
