"""A repeated idempotency key must come with the same submission."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from pipeline.database.row import Row
from pipeline.errors import Conflict


class ItemsDigest:
    """A digest of the items of a submission, in their order: payload, key and callback URL of each.

    The order of the fields in a payload does not count.
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.count = 0

    def reading(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Yield the rows of items, and add each to the digest."""
        for row in rows:
            item = (row["key"], row["callback_url"], orjson.loads(row["payload"]))
            self._hash.update(orjson.dumps(item, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE))
            self.count += 1
            yield row

    def __str__(self) -> str:
        return self._hash.hexdigest()


def refuse_different(batch: Mapping[str, Any], known: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Compare the options of a submission with those of the batch that has its idempotency key.

    Args:
        batch: the batch's public id and idempotency key.
        known: the content of the batch's definition, and its other options.
        given: the same for this submission.

    Raises:
        Conflict: they differ.
    """
    different = [name for name in given if _without_locations(known[name]) != _without_locations(given[name])]
    if different:
        raise _conflict(batch, f"has a different {' and '.join(different)}")


def refuse_other_items(batch: Mapping[str, Any], digest: ItemsDigest) -> None:
    """Compare the items of a submission with those of the batch that has its idempotency key.

    Raises:
        Conflict: they differ.
    """
    if batch["items_digest"] != str(digest):
        total = batch["total"]
        numbers = "" if digest.count == total else f": {total:,}, not these {digest.count:,}"
        raise _conflict(batch, f"has other items{numbers}")


def _conflict(batch: Mapping[str, Any], difference: str) -> Conflict:
    name = batch["public_id"]
    return Conflict(
        f"idempotency key {batch['idempotency_key']!r} belongs to batch {name}, which {difference}; "
        f"`pipeline run --batch {name}` continues it, another key starts a new batch"
    )


def _without_locations(value: Any) -> Any:
    # A definition may have moved to another folder; only the content of its files counts.
    if not isinstance(value, Mapping):
        return value
    return {**value, "folder": None, "files": sorted(value.get("files", {}).values())}
