"""Fresh items that a round of dispatch releases: chosen batch by batch, released together."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from pipeline.batches.sql import spans
from pipeline.database.tables import POSITIONS_PER_BATCH
from pipeline.domain.item import Stage
from pipeline.execution.sql import span_releases
from pipeline.execution.sql.pending_batches import PendingBatch
from pipeline.execution.sql.releases import ReleasedItem
from pipeline.execution.sql.span_releases import Range


class FreshItems:
    """The fresh items of one round. Positions are computed; they are read only for batches in which some are missing.

    A batch's items are chosen in the order of their positions, and its range moves once at the end of the round, in one
    statement for all batches, so that two dispatchers lock batches in the same order.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        #: Chosen so far, by batch.
        self._chosen: dict[int, Range] = {}

    def count(self, batch: PendingBatch, limit: int) -> int:
        """Return how many fresh items a batch has left, `limit` at most."""
        return len(self._next(batch, limit))

    def take(self, batch: PendingBatch, number: int) -> list[ReleasedItem]:
        """Choose the next fresh items of a batch, up to `number`."""
        positions = self._next(batch, number)
        if not positions or batch.first is None:
            return []
        # Of an open batch, the range stays: positions may have been added to it since it was read.
        is_last = positions[-1] == batch.last and not batch.is_open
        self._chosen[batch.id] = Range(batch.id, batch.first, positions[-1], is_last)
        start = batch.id * POSITIONS_PER_BATCH
        return [ReleasedItem(start + each, each, spans.EPOCH, Stage.CLASSIFY.value) for each in positions]

    def release(self, now: datetime, lease_until: datetime, worker: str | None) -> list[range]:
        """Release what was chosen. Return the ids that were not: another process released or cancelled them meanwhile.

        Args:
            worker: the process whose memory holds the messages; None if a broker does.
        """
        if not self._chosen:
            return []
        ranges = self._chosen.values()
        released = span_releases.release(self._connection, ranges, now=now, lease_until=lease_until, worker=worker)
        return [each.ids for each in ranges if each.batch_id not in released]

    def _next(self, batch: PendingBatch, limit: int) -> list[int] | range:
        if batch.first is None or batch.last is None or limit <= 0:
            return []
        chosen = self._chosen.get(batch.id)
        first = batch.first if chosen is None else chosen.last + 1
        if batch.last == batch.total:
            return range(first, min(first + limit - 1, batch.last) + 1)
        # Refused items have taken up positions.
        return span_releases.find_positions(self._connection, batch.id, first, limit)
