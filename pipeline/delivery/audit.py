"""Prove from the rows of a batch that nothing was lost and nothing counted twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from pipeline.batches.find import find_batch
from pipeline.batches.sql import audit as batch_audit
from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.delivery.rules.audit import Evidence, Violation, find_violations
from pipeline.delivery.rules.delivery import DeliveryState
from pipeline.delivery.sql import audit as delivery_audit
from pipeline.delivery.sql import search
from pipeline.domain.batch import BatchState
from pipeline.domain.item import ItemState

_EVER = datetime(1970, 1, 1, tzinfo=UTC)
_COUNTED = (ItemState.SUCCEEDED, ItemState.DEAD, ItemState.CANCELLED)


@dataclass(frozen=True, slots=True)
class Audit:
    """What the rows of a batch say.

    Args:
        items: the numbers of items in each state.
        callbacks: the numbers of deliveries in each state: all of them, whenever they were created.
        violations: what does not hold; empty if nothing was lost and nothing counted twice.
    """

    batch_id: str
    state: BatchState
    total: int
    items: Mapping[ItemState, int]
    events: int
    callbacks: Mapping[DeliveryState, int]
    violations: tuple[Violation, ...]


def audit(context: Context, batch: str, *, since: datetime | None = None) -> Audit:
    """Compare the items of a batch with its counters, its event log and its deliveries, in one snapshot.

    It locks nothing, so the batch may be running. It reads every row: allow a few seconds for a million items.

    Args:
        since: look for the events and deliveries of items that finished since then; default: of all.

    Raises:
        NotFound: there is no such batch.
    """
    with context.database.read() as connection:
        row = find_batch(connection, batch)
        batch_id, start = row["id"], since or _EVER
        items = batch_audit.count_items(connection, batch_id)
        log = batch_audit.summarize_log(connection, batch_id)
        unreported = batch_audit.find_unreported(connection, batch_id, start)
        superseded = batch_audit.find_superseded(connection, batch_id, start)
        unowed = delivery_audit.find_unowed(connection, batch_id, start)
        callbacks = search.count_by_state(connection, batch_id)
    evidence = _evidence(row, items, log, unreported, superseded, unowed)
    return Audit(
        batch_id=row["public_id"],
        state=BatchState(row["state"]),
        total=row["total"],
        items=items,
        events=log.events,
        callbacks={DeliveryState(state): number for state, number in callbacks.items()},
        violations=tuple(find_violations(evidence)),
    )


def _evidence(
    row: Row,
    items: Mapping[ItemState, int],
    log: batch_audit.LogSummary,
    unreported: list[int],
    superseded: list[int],
    unowed: list[int],
) -> Evidence:
    return Evidence(
        is_accepted=row["state"] != BatchState.ACCEPTING,
        is_complete=row["completed_at"] is not None,
        total=row["total"],
        counters={state: row[state] for state in _COUNTED},
        items=items,
        events=log.events,
        first=log.first,
        last=log.last,
        next_seq=row["next_seq"],
        completed=log.completed,
        unreported=unreported,
        superseded=superseded,
        unowed=unowed,
    )
