"""Find a batch, item or task by the name that a user gives."""

from __future__ import annotations

from sqlalchemy import Connection

from pipeline.batches.sql import batches, items
from pipeline.database.row import Row
from pipeline.database.tables import POSITIONS_PER_BATCH
from pipeline.domain.batch import BatchState
from pipeline.domain.bounds import shown
from pipeline.domain.ids import is_batch_prefix, item_id, split_item_id, split_task_id
from pipeline.errors import Conflict, InvalidInput, NotFound

LAST = "last"

#: Characters from which on a prefix of a batch id is taken to be meant. A shorter one that is also a key is the key:
#: which batch it would name is chance.
_MEANT_PREFIX = 4


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
    found = batches.find_by_prefix(connection, name) if is_batch_prefix(name) else []
    exact = [row for row in found if row["public_id"] == name]
    if exact or len(found) == 1:
        return (exact or found)[0]
    if not found:
        raise NotFound(f"there is no batch {shown(name)}; `pipeline status` lists them")
    raise NotFound(f"{name!r} is ambiguous; it matches the batches {', '.join(row['public_id'] for row in found)}")


def find_owned_batch(connection: Connection, public_id: str, tenant: str | None) -> Row:
    """Return the batch with exactly this id, if it belongs to a tenant.

    Args:
        tenant: None: any.

    Raises:
        NotFound: there is none. A batch of another tenant is answered in the same words.
    """
    found = batches.find_by_public_id(connection, public_id) if is_batch_prefix(public_id) else None
    if found is None or tenant not in (None, found["tenant"]):
        raise unknown_batch(public_id)
    return found


def unknown_batch(public_id: str) -> NotFound:
    """Return the error for a batch that is not there, or is another tenant's."""
    return NotFound(f"there is no batch {shown(public_id)}")


def find_owned_item(connection: Connection, name: str, tenant: str | None) -> tuple[Row, Row]:
    """Return (batch, item) for exactly this item id, if its batch belongs to a tenant.

    Args:
        tenant: None: any.

    Raises:
        NotFound: there is none. An item of another tenant is answered in the same words.
    """
    split = split_item_id(name)
    batch = None if split is None or not is_batch_prefix(split[0]) else batches.find_by_public_id(connection, split[0])
    if split is None or batch is None or tenant not in (None, batch["tenant"]):
        raise unknown_item(name)
    item = items.get(connection, batch["id"] * POSITIONS_PER_BATCH + split[1])
    if item is None:
        raise unknown_item(name)
    return batch, item


def unknown_item(name: str) -> NotFound:
    """Return the error for an item that is not there, or is another tenant's."""
    return NotFound(f"there is no item {shown(name)}")


def refuse_if_cancelling(batch: Row) -> None:
    """Raise `Conflict` if a batch was cancelled and some of its items are not final yet."""
    if batch["state"] == BatchState.CANCELLED and batch["completed_at"] is None:
        raise Conflict(
            f"batch {batch['public_id']} is being cancelled; replay its items when those that still run are done"
        )


def find_submitted(connection: Connection, tenant: str, idempotency_key: str) -> Row | None:
    """Return the batch of a tenant that was submitted with an idempotency key, or that is being submitted."""
    return batches.find_by_idempotency_key(connection, tenant, idempotency_key)


def pruned_meanwhile(name: str | None = None) -> NotFound:
    """Return the error for a batch that existed a moment ago."""
    batch = "the batch" if name is None else f"batch {name}"
    return NotFound(f"{batch} no longer exists: it was pruned a moment ago")


def find_item(connection: Connection, name: str, batch: str | None = None) -> tuple[Row, Row] | None:
    """Return (batch, item) for a key, an item id or a Celery task id; None if `name` is none of them.

    Args:
        batch: the batch in which to look up keys. Without it, the last one; a key of it that is also something else,
            such as `last-1`, is refused rather than guessed.

    Raises:
        NotFound: `name` has the form of an id, but there is no such item; or there is no such batch.
        InvalidInput: `name` is ambiguous.
    """
    keyed = _find_by_key(connection, name, batch)
    if keyed is not None and batch is not None:
        return keyed
    try:
        named = _find_by_id(connection, name)
    except NotFound:
        if keyed is None:
            raise NotFound(
                f"there is no item {shown(name)}, neither by id nor by key in batch {batch or LAST!r}"
            ) from None
        named = None
    if keyed is None or named is None or keyed[1]["id"] == named[1]["id"]:
        return keyed or named
    if _is_meant(name.partition("-")[0]):
        raise _ambiguous(name, keyed, f"the item {_id_of(named)}")
    return keyed


def find_item_or_batch(connection: Connection, name: str, batch: str | None = None) -> tuple[Row, Row | None]:
    """Return (batch, item) like `find_item`, or (batch, None) if `name` is a batch.

    Raises:
        NotFound: there is neither such an item nor such a batch.
        InvalidInput: `name` is ambiguous.
    """
    found = find_item(connection, name, batch)
    try:
        named = find_batch(connection, name)
    except NotFound:
        if found is not None:
            return found
        raise NotFound(
            f"{shown(name)} is neither an item, nor a key in batch {batch or LAST!r}, nor a batch; --batch looks up "
            "keys in another"
        ) from None
    if found is None:
        return named, None
    if batch is None and _is_meant(name):
        raise _ambiguous(name, found, f"the batch {named['public_id']}")
    return found


def _find_by_key(connection: Connection, key: str, batch: str | None) -> tuple[Row, Row] | None:
    if batch is not None:
        row = find_batch(connection, batch)
    else:
        newest = batches.find_newest(connection, 1)
        if not newest:
            return None
        row = newest[0]
    position = items.positions_of_keys(connection, row["id"], [key]).get(key)
    item = None if position is None else items.get(connection, row["id"] * POSITIONS_PER_BATCH + position)
    return None if item is None else (row, item)


def _find_by_id(connection: Connection, name: str) -> tuple[Row, Row] | None:
    task = split_task_id(name)
    split = split_item_id(task.item_id if task else name)
    if split is None:
        return None
    batch = find_batch(connection, split[0])
    item = items.get(connection, batch["id"] * POSITIONS_PER_BATCH + split[1])
    if item is None:
        raise NotFound(f"batch {batch['public_id']} has no item at position {split[1]}")
    return batch, item


def _is_meant(batch: str) -> bool:
    return batch == LAST or len(batch) >= _MEANT_PREFIX


def _id_of(found: tuple[Row, Row]) -> str:
    return item_id(found[0]["public_id"], found[1]["position"])


def _ambiguous(name: str, keyed: tuple[Row, Row], other: str) -> InvalidInput:
    return InvalidInput(
        f"{name!r} is the key of the item {_id_of(keyed)} and names {other}; give the full id of the one you mean, or "
        "the batch in which to look up the key"
    )
