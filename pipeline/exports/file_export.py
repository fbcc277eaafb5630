"""Export a batch to files: plan parts, write each, mark it; the manifest last.

Every step is decided by what is stored, so that an attempt after a kill goes on where the last one was: a part that is
planned is written again under the same name, and is found there if it had arrived.
"""

from __future__ import annotations

from collections.abc import Callable

from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.domain.urls.export_target import ExportTarget
from pipeline.errors import TargetConflict
from pipeline.exports.complete import complete
from pipeline.exports.lease import ExportLease
from pipeline.exports.plan_parts import measure, plan
from pipeline.exports.rules.manifest import (
    completion_of,
    encode_manifest,
    is_of_same_completion,
    is_same_manifest,
    make_manifest,
)
from pipeline.exports.rules.part_names import MANIFEST, manifest_name
from pipeline.exports.rules.part_range import OpenRange
from pipeline.exports.sql import exports, parts
from pipeline.exports.targets.part_store import PartStore, StoredFile
from pipeline.exports.write_parts import MAX_OPEN, write_parts
from pipeline.files.export_writer import part_schema


class ExportToFiles:
    """One attempt at an export to files.

    Args:
        open_range: returns the range that is being measured; it outlives the attempt.
    """

    def __init__(
        self,
        context: Context,
        export_id: int,
        target: ExportTarget,
        store: PartStore,
        lease: ExportLease,
        open_range: Callable[[Row], OpenRange],
    ) -> None:
        self._context = context
        self._export_id = export_id
        self._options = target.options
        self._store = store
        self._lease = lease
        self._open_range = open_range

    def advance(self) -> bool:
        """Take the next step. Return False if there is none now."""
        context = self._context
        self._lease.check()
        with context.database.read() as connection:
            row = exports.find_by_id(connection, self._export_id)
            planned = parts.find_planned(connection, self._export_id, MAX_OPEN)
            self._lease.require(row is not None and row["worker"] == context.worker)
            assert row is not None
            range_ = self._open_range(row)
            is_closed = not planned and measure(connection, row, range_, self._options, context.now())
        if planned:
            write_parts(context, row, planned, self._options, self._store, self._lease.check, self._mark)
        elif is_closed:
            self._plan(row, range_)
        elif row["batch_completed_at"] is not None:
            self._finish(row)
            return False
        else:
            return False
        return True

    def _plan(self, row: Row, range_: OpenRange) -> None:
        planned = plan(self._context, row, range_, self._options, self._lease.check)
        with self._context.database.write() as connection:
            is_moved = exports.move(
                connection,
                row["id"],
                self._context.worker,
                from_seq=range_.first_seq,
                next_seq=range_.last_seq + 1,
            )
            self._lease.require(is_moved)
            parts.add_planned(connection, row["id"], planned)

    def _mark(self, part: Row, rows_: int, stored: StoredFile) -> None:
        with self._context.database.write() as connection:
            self._lease.require(
                exports.count_stored(connection, self._export_id, self._context.worker, parts=1, rows_=rows_)
            )
            is_marked = parts.mark_stored(
                connection,
                self._export_id,
                part["number"],
                rows_=rows_,
                bytes_=stored.bytes,
                sha256=stored.sha256,
            )
            # The counters are right only together with the mark.
            self._lease.require(is_marked)

    def _finish(self, row: Row) -> None:
        with self._context.database.read() as connection:
            batch = exports.find_batch(connection, row["batch_id"])
            stored = parts.find_all(connection, row["id"])
        self._lease.require(batch is not None)
        assert batch is not None
        completion = row["completions"] + 1
        manifest = make_manifest(
            batch,
            stored,
            completion=completion,
            schema=part_schema(self._options.format, with_payload=self._options.with_payload),
            now=self._context.now(),
        )
        self._lease.check()
        content = encode_manifest(manifest)
        first = manifest_name(completion)
        found = self._store.create(first, content)
        is_late = found is not None and not is_same_manifest(found, manifest)
        if found is not None and is_late:
            if not is_of_same_completion(found, manifest):
                raise TargetConflict(f"{self._store.location(first)} holds another manifest; move it away")
            # An attempt before this one wrote it, and was killed; then the batch ran again.
            content = found
        if completion > 1:
            self._replace_manifest(batch["public_id"], completion, content)
        location = self._store.location(MANIFEST)
        complete(self._context, row, self._lease, completion=completion, manifest=location, goes_on=is_late)

    def _replace_manifest(self, batch_id: str, completion: int, content: bytes) -> None:
        """Let `manifest.json` be the newest one: that of the completion before, and nothing else, is replaced."""
        known = b"".join(self._store.read(MANIFEST))
        found = completion_of(known)
        if found == (batch_id, completion):
            return
        if found != (batch_id, completion - 1) or not self._store.replace(MANIFEST, content, known=known):
            raise TargetConflict(
                f"{self._store.location(MANIFEST)} is not the manifest of completion {completion - 1}; put that back"
            )
