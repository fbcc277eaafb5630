"""What names mean on a server, which knows whole ids only: prefixes of batch ids, `last`, keys and ids of items."""

from __future__ import annotations

from pipeline.client.remote.server import Server, segment
from pipeline.domain.bounds import shown
from pipeline.domain.ids import BATCH_ID_LENGTH, is_batch_prefix, split_task_id
from pipeline.errors import InvalidInput, NotFound

LAST = "last"
#: Batches that are listed where a prefix is ambiguous.
_LISTED = 5


def batch_id(server: Server, name: str) -> str:
    """Return the id of the batch with this id, prefix of one, or `last`.

    Raises:
        NotFound: there is none, or several begin so.
    """
    if name == LAST:
        newest = next(server.entries("/v1/batches", limit=1), None)
        if newest is None:
            raise NotFound("there are no batches yet; create one with `pipeline submit` or `pipeline run`")
        return str(newest["batch_id"])
    if len(name) == BATCH_ID_LENGTH and is_batch_prefix(name):
        return str(server.get(f"/v1/batches/{segment(name)}")["batch_id"])
    listed = server.entries("/v1/batches", limit=_LISTED, prefix=name) if is_batch_prefix(name) else ()
    found = [each["batch_id"] for each in listed]
    if not found:
        raise NotFound(f"there is no batch {shown(name)}; `pipeline status` lists them")
    if len(found) > 1:
        raise NotFound(f"{name!r} is ambiguous; it matches the batches {', '.join(found)}")
    return str(found[0])


def item_id(server: Server, name: str, batch: str | None = None) -> str | None:
    """Return the id of an item by its key, its id or the id of its task; None if the name has the form of none.

    Args:
        batch: the batch in which to look up keys; None: the last one.

    Raises:
        NotFound: the name has the form of an id, but there is no such item; or there is no such batch.
        InvalidInput: the name is ambiguous.
    """
    keyed = _id_of_key(server, name, batch)
    if keyed is not None and batch is not None:
        return keyed
    try:
        named = _id_of_item(server, name)
    except NotFound:
        if keyed is None:
            where = batch or LAST
            raise NotFound(f"there is no item {shown(name)}, neither by id nor by key in batch {where!r}") from None
        named = None
    if keyed and named and keyed != named and name.startswith(LAST):
        raise InvalidInput(
            f"{shown(name)} is the key of the item {keyed} and names the item {named}; give one of these ids"
        )
    return keyed or named


def _id_of_key(server: Server, key: str, batch: str | None) -> str | None:
    try:
        found = batch_id(server, batch or LAST)
    except NotFound:
        if batch is not None:
            raise
        return None
    page = server.get(f"/v1/batches/{segment(found)}/items", key=key)
    return str(page["data"][0]["item_id"]) if page["data"] else None


def _id_of_item(server: Server, name: str) -> str | None:
    task = split_task_id(name)
    head, dash, number = (task.item_id if task else name).rpartition("-")
    if not dash or not (number.isascii() and number.isdigit()) or not (head == LAST or is_batch_prefix(head)):
        return None
    found = f"{batch_id(server, head)}-{number.lstrip('0')[:20] or '0'}"
    return str(server.get(f"/v1/items/{segment(found)}")["item_id"])
