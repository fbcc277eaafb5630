"""Find exports with something to do, and work on one of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import datetime

from sqlalchemy import Connection

from pipeline.connections.export_targets import find_kind
from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.domain.retry_schedule import HORIZON, SCHEDULES
from pipeline.domain.urls.export_target import ExportOptions, TargetKind, parse_export_target
from pipeline.errors import PipelineError, TargetConflict, Unreachable
from pipeline.exports.file_export import ExportToFiles
from pipeline.exports.lease import ExportInterrupted, ExportLease, held
from pipeline.exports.open_target import OpenedTarget, open_store, open_target
from pipeline.exports.plan_parts import measure
from pipeline.exports.rules.part_range import OpenRange
from pipeline.exports.sql import exports, parts
from pipeline.log import get_logger

log = get_logger(__name__)

#: When a table is written to: so many results wait, or one has waited so long.
TABLE_RANGE = ExportOptions(rows=5_000, seconds=5)
#: When failed attempts are repeated.
_SCHEDULE = SCHEDULES["standard"]


class ExportRunner:
    """Works on the exports of a database, one attempt per call. Usable from several threads.

    Args:
        batch_id: only exports of this batch; None: of any.
        is_stopped: whether this process ends; attempts then end soon.
    """

    def __init__(self, context: Context, *, batch_id: int | None, is_stopped: Callable[[], bool]) -> None:
        self._context = context
        self._batch_id = batch_id
        self._is_stopped = is_stopped
        self._ranges: dict[int, OpenRange] = {}
        self._lock = threading.Lock()

    def find_work(self, dead: Sequence[str] = (), *, leave: Sequence[int] = ()) -> list[int]:
        """Return the exports with something to do now, by id, earliest due first.

        Args:
            dead: holders whose leases may be taken over at once.
            leave: exports that this process is working on.
        """
        now = self._context.now()
        with self._context.database.read() as connection:
            due = exports.find_due(connection, now, dead=dead, batch_id=self._batch_id)
            due = [row for row in due if row["id"] not in leave]
            planned = parts.find_with_planned(connection, [row["id"] for row in due])
            found = [row["id"] for row in due if row["id"] in planned or self._has_work(connection, row, now)]
        if not due and not leave:
            self._ranges.clear()
        return found

    def run(self, export_id: int, dead: Sequence[str] = ()) -> None:
        """Make one attempt at an export, until nothing is left to do now, it fails, or this process stops."""
        with held(self._context, export_id, self._is_stopped, dead) as lease:
            if lease is None:
                return
            try:
                self._attempt(export_id, lease)
            except ExportInterrupted:
                return
            except Unreachable:
                # Our own database: the lease runs out, and this attempt counts for nothing.
                raise
            except TargetConflict as error:
                self._fail(export_id, str(error))
            except PipelineError as error:
                self._put_off(export_id, str(error))
            except OSError as error:
                self._put_off(export_id, f"io_error: {error.strerror or type(error).__name__}")
            except Exception as error:
                log.exception("export_attempt_broke", export=export_id)
                self._put_off(export_id, f"unexpected: {type(error).__name__}")

    def _attempt(self, export_id: int, lease: ExportLease) -> None:
        with self._context.database.read() as connection:
            row = exports.find_by_id(connection, export_id)
        lease.require(row is not None)
        assert row is not None
        opened = open_target(self._context, row["target"])
        if opened.target.kind is TargetKind.TABLE:
            self._write_table(row, opened, lease)
            return
        store = open_store(opened, row["public_id"])
        export = ExportToFiles(self._context, export_id, opened.target, store, lease, self._open_range)
        while export.advance():
            pass

    def _write_table(self, row: Row, opened: OpenedTarget, lease: ExportLease) -> None:
        # Imported here: its driver takes long to import.
        from pipeline.exports.table_export import ExportToTable
        from pipeline.exports.targets.result_table import TableRef, open_table

        table = open_table(TableRef(opened.target, opened.shown, row["public_id"], row["number"]), opened.options)
        try:
            export = ExportToTable(self._context, row["id"], opened.target, table, lease)
            while export.advance():
                pass
        finally:
            table.close()

    def _has_work(self, connection: Connection, row: Row, now: datetime) -> bool:
        if row["batch_completed_at"] is not None:
            return True
        if row["next_seq"] >= row["batch_next_seq"]:
            return False
        try:
            target = parse_export_target(row["target"])
            kind = find_kind(target, self._context.connections)
        except PipelineError:
            # The attempt says what is wrong.
            return True
        options = TABLE_RANGE if kind is TargetKind.TABLE else target.options
        return measure(connection, row, self._open_range(row), options, now)

    def _open_range(self, row: Row) -> OpenRange:
        """Return what is measured of an export's log beyond its last part."""
        with self._lock:
            known = self._ranges.get(row["id"])
            if known is None or known.first_seq != row["next_seq"]:
                known = self._ranges[row["id"]] = OpenRange.starting_at(row["next_seq"])
            return known

    def _put_off(self, export_id: int, error: str) -> None:
        context = self._context
        now = context.now()
        with context.database.write() as connection:
            row = exports.find_by_id(connection, export_id)
            if row is None:
                return
            since = row["failing_since"] or now
            is_given_up = now - since >= HORIZON
            if is_given_up:
                exports.fail(connection, export_id, context.worker, error=error, now=now)
            else:
                due_at = now + _SCHEDULE.delay_after(row["attempts"] + 1)
                exports.put_off(connection, export_id, context.worker, error=error, since=since, due_at=due_at)
        fields = {"batch": row["public_id"], "export": export_id, "target": row["target"], "error": error}
        if is_given_up:
            log.warning("export_failed", **fields)
        else:
            log.warning("export_put_off", **fields)

    def _fail(self, export_id: int, error: str) -> None:
        context = self._context
        with context.database.write() as connection:
            exports.fail(connection, export_id, context.worker, error=error, now=context.now())
        log.warning("export_failed", export=export_id, error=error)
