"""The batches that a caller may see: those of its tenant, and with a stream token one of them."""

from __future__ import annotations

from sqlalchemy import Connection

from pipeline.access.caller import Caller
from pipeline.batches.find import find_owned_batch, unknown_batch
from pipeline.database.row import Row


def find_visible_batch(connection: Connection, public_id: str, caller: Caller) -> Row:
    """Return the batch with exactly this id.

    Raises:
        NotFound: there is none that the caller may see.
    """
    found = find_owned_batch(connection, public_id, caller.sees)
    if caller.only_batch not in (None, found["id"]):
        raise unknown_batch(public_id)
    return found
