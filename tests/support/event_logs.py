"""Batches whose event log a test writes itself, without a worker."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement

from pipeline.batches.finish import finish
from pipeline.batches.sql import items
from pipeline.batches.submission import Submission
from pipeline.batches.submit import submit
from pipeline.context import Context
from pipeline.database.row import rows
from pipeline.database.tables import batches
from pipeline.database.tables import items as item_table
from pipeline.domain.item import ItemState
from pipeline.hooks import Hooks
from tests.support.factories import make_definition, make_items


@dataclass
class WrittenBatch:
    """A batch without a worker, whose items finish when a test says so."""

    context: Context
    id: str
    row_id: int
    total: int
    finished: int = 0

    def finish(self, number: int, state: ItemState = ItemState.SUCCEEDED, label: str = "short") -> None:
        """Finish the next items, in one transaction, as a worker's recorder does."""
        first = self.finished + 1
        self._finish(item_table.c.position.in_(range(first, first + number)), state, label)
        self.finished += number

    def finish_pending(self, state: ItemState = ItemState.SUCCEEDED) -> None:
        """Finish the items that are pending, such as those that were replayed."""
        self._finish(item_table.c.state == ItemState.PENDING.value, state, "short")

    def _finish(self, chosen: ColumnElement[bool], state: ItemState, label: str) -> None:
        now = self.context.now()
        with self.context.database.write() as connection:
            statement = (
                item_table.update()
                .where(item_table.c.batch_id == self.row_id, chosen)
                .values(state=state.value, label=label, confidence=0.5, finished_at=now, attempts=1)
                .returning(*(item_table.c[name] for name in items.FINISHED_COLUMNS))
            )
            finished = sorted(rows(connection.execute(statement)), key=lambda row: row["position"])
            finish(connection, finished, Hooks(), now)

    def prune(self) -> None:
        """Delete the batch's row, as retention does first."""
        with self.context.database.write() as connection:
            connection.execute(batches.delete().where(batches.c.id == self.row_id))


def write_batch(context: Context, folder: Path, total: int, *, name: str = "test", **options: Any) -> WrittenBatch:
    """Submit a batch to a database that no worker looks at. Options are those of `Submission`."""
    definition = make_definition(folder, name=name)
    submitted = submit(context, make_items(total), Submission(definition=definition, **options))
    return WrittenBatch(context, submitted.batch_id, submitted.row_id, total)
