"""Find a batch, item or task by the name that a user gives."""

from __future__ import annotations

from sqlalchemy import Connection

from pipeline.batches.sql import batches, items
from pipeline.database.row import Row
from pipeline.database.tables import POSITIONS_PER_BATCH
from pipeline.domain.ids import split_item_id, split_task_id
from pipeline.errors import NotFound

LAST = "last"


def find_batch(connection: Connection, name: str) -> Row:
    """Return the batch with this id or unique id prefix; `last` means the newest.

    Raises:
        NotFound: there is none, or the prefix is ambiguous.
    """
    if name == LAST:
        newest = batches.find_newest(connection, 1)
        if not newest:
            raise NotFound("there are no batches yet; create one with `pipeline submit` or `pipeline run`")
        return newest[0]
    found = batches.find_by_prefix(connection, name) if name else []
    exact = [row for row in found if row["public_id"] == name]
    if exact or len(found) == 1:
        return (exact or found)[0]
    if not found:
        raise NotFound(f"there is no batch {name!r}; `pipeline status` lists them")
    raise NotFound(f"{name!r} is ambiguous; it matches the batches {', '.join(row['public_id'] for row in found)}")


def pruned_meanwhile(name: str | None = None) -> NotFound:
    """Return the error for a batch that existed a moment ago."""
    batch = "the batch" if name is None else f"batch {name}"
    return NotFound(f"{batch} no longer exists: it was pruned a moment ago")


def find_item(connection: Connection, name: str) -> tuple[Row, Row] | None:
    """Return (batch, item) for an item id or a Celery task id; None if `name` is neither.

    Raises:
        NotFound: it has the form of an id, but there is no such batch or item.
    """
    task = split_task_id(name)
    split = split_item_id(task.item_id if task else name)
    if split is None:
        return None
    batch = find_batch(connection, split[0])
    item = items.get(connection, batch["id"] * POSITIONS_PER_BATCH + split[1])
    if item is None:
        raise NotFound(f"batch {batch['public_id']} has no item at position {split[1]}")
    return batch, item
