"""Batches as the HTTP API shows them: how far along each is, and what it was submitted with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from pipeline.batches import submit_lease
from pipeline.batches.find import find_batch, find_owned_batch
from pipeline.batches.progress import LOOKED_AT, progress_of
from pipeline.batches.sql import batches, items
from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.domain.batch import BatchState, Progress
from pipeline.domain.filters import BatchFilter
from pipeline.domain.ids import is_batch_prefix


@dataclass(frozen=True, slots=True)
class BatchView:
    """A batch.

    Args:
        expires_at: when it is given up unless a part comes before; None: it takes no parts.
    """

    progress: Progress
    definition_version: str
    weight: int
    fair_key: str
    idempotency_key: str | None
    callback_url: str | None
    batch_callback_url: str | None
    fallback_url: str | None
    callback_schedule: str | None
    started_at: datetime | None
    expires_at: datetime | None


def view_batch(context: Context, batch: str) -> BatchView:
    """Return one batch.

    Raises:
        NotFound: there is no such batch.
    """
    with context.database.read() as connection:
        return _views(connection, [find_batch(connection, batch)])[0]


def view_owned_batch(context: Context, public_id: str, tenant: str | None) -> tuple[int, BatchView]:
    """Return the row id of the batch with exactly this id, if it belongs to a tenant, and the batch.

    Args:
        tenant: None: any.

    Raises:
        NotFound: there is none that the tenant has.
    """
    with context.database.read() as connection:
        row = find_owned_batch(connection, public_id, tenant)
        return row["id"], _views(connection, [row])[0]


def list_batches(
    context: Context, chosen: BatchFilter, *, before: int | None, limit: int
) -> tuple[list[BatchView], int | None]:
    """Return batches that pass a filter, newest first, and the row id below which to go on; None: there are no more."""
    if chosen.prefix is not None and not is_batch_prefix(chosen.prefix):
        return [], None
    with context.database.read() as connection:
        found, next_id = batches.find_page(connection, chosen, before=before, limit=limit, look_at=LOOKED_AT)
        return _views(connection, found), next_id


def overview(
    context: Context, tenant: str | None, *, newest: int, most_open: int, also: Sequence[int]
) -> dict[int, BatchView]:
    """Return the batches that a tenant looks at, by row id: open ones and the newest.

    Args:
        tenant: None: any.
        newest, most_open: how many of each, at most.
        also: row ids of further ones.
    """
    with context.database.read() as connection:
        found = batches.find_newest_open(connection, tenant, most_open)
        found += batches.find_page(connection, BatchFilter(tenant), before=None, limit=newest, look_at=newest)[0]
        known = {row["id"]: row for row in found}
        further = [each for each in also if each not in known]
        known |= {row["id"]: row for row in batches.find_by_ids(connection, further)}
        return dict(zip(known, _views(connection, list(known.values())), strict=True))


def _views(connection: Connection, found: Sequence[Row]) -> list[BatchView]:
    in_flight = items.count_in_flight(connection)
    accepting = [row["id"] for row in found if row["state"] == BatchState.ACCEPTING]
    expires_at = submit_lease.ends_of_parts(connection, accepting) if accepting else {}
    return [
        BatchView(
            progress=progress_of(row, in_flight),
            callback_schedule=row["schedule"],
            expires_at=expires_at.get(row["id"]),
            **{name: row[name] for name in _COLUMNS},
        )
        for row in found
    ]


_COLUMNS = (
    "definition_version", "weight", "fair_key", "idempotency_key", "callback_url", "batch_callback_url",
    "fallback_url", "started_at",
)  # fmt: skip
