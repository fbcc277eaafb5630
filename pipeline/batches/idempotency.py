"""A repeated idempotency key must come with the same submission."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol
from urllib.parse import parse_qsl, urlencode

import orjson

from pipeline.database.row import Row
from pipeline.domain.batch import BatchState
from pipeline.errors import IdempotencyMismatch

#: Begins a digest that is a chain; the others are of one hash over all items.
_CHAIN = "chain:"


class ItemsDigest:
    """A digest of the items of a submission, in their order: payload, key and callback URL of each.

    The order of the fields in a payload does not count. The digest is a chain: the hash of an item covers the hash
    before it, so that a submission goes on from the text of a digest. A running hash cannot be stored.

    Args:
        text: of the digest of the items before; None: there are none.
        count: number of the items before.
    """

    def __init__(self, text: str | None = None, count: int = 0) -> None:
        self._link = b"" if text is None else bytes.fromhex(text.removeprefix(_CHAIN))
        self.count = count

    def reading(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Yield the rows of items, and add each to the digest."""
        for row in rows:
            self._add(_digested(row))
            self.count += 1
            yield row

    def _add(self, item: bytes) -> None:
        self._link = hashlib.sha256(self._link + item).digest()

    def __str__(self) -> str:
        return _CHAIN + self._link.hex()


class _RunningDigest(ItemsDigest):
    """One hash over all items, as batches have it that were submitted before digests were chains."""

    def __init__(self) -> None:
        super().__init__()
        self._hash = hashlib.sha256()

    def _add(self, item: bytes) -> None:
        self._hash.update(item)

    def __str__(self) -> str:
        return self._hash.hexdigest()


def digest_like(known: str) -> ItemsDigest:
    """Return a new digest that can be compared with a stored one."""
    return ItemsDigest() if known.startswith(_CHAIN) else _RunningDigest()


def _digested(row: Row) -> bytes:
    item = (row["key"], row["callback_url"], orjson.loads(row["payload"]))
    return orjson.dumps(item, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)


class BodyDigest(NamedTuple):
    """The body of a request, and the options by which it is read: the same bytes may make other items under others.

    Args:
        sha256: of the bytes as they were sent, in hexadecimal.
        reading: such as `key_field`; those with their defaults are left out.
    """

    sha256: str
    reading: Mapping[str, str]

    @classmethod
    def parse(cls, text: str) -> BodyDigest:
        """Return the digest that `str` made this text of."""
        sha256, _, reading = text.partition("?")
        return cls(sha256, dict(parse_qsl(reading)))

    def differences(self, other: BodyDigest) -> list[str]:
        """Return the names of options that differ, and `body` if the bytes do."""
        names = sorted({*self.reading, *other.reading})
        different = [name for name in names if self.reading.get(name) != other.reading.get(name)]
        return different + ["body"] * (self.sha256 != other.sha256)

    def __str__(self) -> str:
        return self.sha256 + ("?" + urlencode(sorted(self.reading.items())) if self.reading else "")


class SubmittedBody(Protocol):
    """The body of a request, from which the items of a submission are read."""

    @property
    def size(self) -> int:
        """The bytes that were read of it, as they were sent."""

    def finish(self) -> BodyDigest:
        """Read what is left of it, and return its digest. Raise an error if it is not the body that was announced."""

    def digest_of_repetition(self) -> BodyDigest | None:
        """Return the digest of a body whose items are stored already. None: its sender waits to hear that, and sends
        it no more.
        """


def refuse_different(batch: Mapping[str, Any], known: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Compare the options of a submission with those of the batch that has its idempotency key.

    Args:
        batch: the batch's row.
        known: the content of the batch's definition, and its other options.
        given: the same for this submission.

    Raises:
        IdempotencyMismatch: they differ.
    """
    different = [name for name in given if _without_locations(known[name]) != _without_locations(given[name])]
    if different:
        raise mismatch(batch, f"has a different {' and '.join(different)}", different)


def refuse_other_items(batch: Mapping[str, Any], digest: ItemsDigest) -> None:
    """Compare the items of a submission with those of the batch that has its idempotency key.

    Raises:
        IdempotencyMismatch: they differ.
    """
    if batch["items_digest"] != str(digest):
        total = batch["total"]
        numbers = "" if digest.count == total else f": {total:,}, not these {digest.count:,}"
        raise mismatch(batch, f"has other items{numbers}", ["items"])


def refuse_other_body(batch: Mapping[str, Any], body: SubmittedBody | None) -> None:
    """Compare the body of a submission with that of the batch that has its idempotency key.

    Args:
        body: None: the items are not from a body.

    Raises:
        IdempotencyMismatch: they differ, or cannot be compared.
    """
    if body is None:
        raise mismatch(batch, "was uploaded in parts, with which other items cannot be compared", ["items"])
    given = body.digest_of_repetition()
    different = [] if given is None else BodyDigest.parse(batch["body_digest"]).differences(given)
    if different:
        raise mismatch(batch, f"was submitted with another {' and '.join(different)}", different)


def mismatch(batch: Mapping[str, Any], difference: str, fields: Sequence[str]) -> IdempotencyMismatch:
    """Return the error for a submission that differs from the batch that has its idempotency key."""
    name, key = batch["public_id"], batch["idempotency_key"]
    if batch["state"] == BatchState.ACCEPTING and batch["body_digest"] is None:
        owner = f"a submission that was interrupted, batch {name}"
        advice = "the same command as before goes on with it, --discard removes it, another key starts a new batch"
    else:
        owner, advice = f"batch {name}", f"`pipeline run --batch {name}` continues it, another key starts a new batch"
    message = f"idempotency key {key!r} belongs to {owner}, which {difference}; {advice}"
    return IdempotencyMismatch(message, key, name, tuple(fields))


def _without_locations(value: Any) -> Any:
    # A definition may have moved to another folder; only the content of its files counts.
    if not isinstance(value, Mapping):
        return value
    return {**value, "folder": None, "files": sorted(value.get("files", {}).values())}
