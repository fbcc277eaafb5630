"""Go on with a submission that was interrupted: it has an idempotency key, and its source can be read from any item.

What such a submission has stored is kept for a day. Whoever submits the same source with the same key takes over its
lease and reads on after the last stored item.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import orjson
from sqlalchemy import Connection

from pipeline.batches import submit_lease
from pipeline.batches.idempotency import mismatch
from pipeline.batches.sql import batches
from pipeline.batches.streamed.checkpoint import Checkpoint
from pipeline.batches.submission import OpenBatch, Submission, find_existing, is_resumable, refuse_other_options
from pipeline.batches.submit_lease import SubmitLease
from pipeline.batches.validate import Given
from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.errors import SourceChanged, SubmissionInProgress
from pipeline.sources.item_source import ItemSource


class SubmissionLog(Protocol):
    """What a submitter keeps of a submission beside the database, such as a file of rejected items."""

    def mark(self) -> dict[str, Any]:
        """Return how far it is, as JSON values."""

    def resume(self, mark: dict[str, Any] | None, stored: int) -> None:
        """Go back to a mark, before anything else is kept. None: to the beginning.

        Args:
            stored: items that are stored.
        """

    def interrupted(self, stored: int) -> None:
        """Take notice that the submission ends here, and that so many items stay stored."""


class NoLog:
    """Keeps nothing."""

    def mark(self) -> dict[str, Any]:
        return {}

    def resume(self, mark: dict[str, Any] | None, stored: int) -> None:
        """Do nothing."""

    def interrupted(self, stored: int) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class SourceIdentity:
    """What decides which items a submission has. Only a submission with the same identity goes on with another.

    Args:
        name: of the source in messages.
        reads: what the source is, as it describes itself.
        fingerprint: of its content.
        options: of the submission that decide what becomes of its items.
    """

    name: str
    reads: dict[str, Any]
    fingerprint: str
    options: dict[str, Any]

    def to_json(self) -> str:
        """Return it as it is stored."""
        return orjson.dumps(self, option=orjson.OPT_SORT_KEYS).decode()

    def refuse_other(self, batch: Row, stored: int) -> None:
        """Compare this submission with the one that was interrupted.

        Raises:
            SourceChanged: the content of the source has changed.
            IdempotencyMismatch: it reads something else.
        """
        known = SourceIdentity(**orjson.loads(batch["source"]))
        # As they are stored: a tuple is a list.
        mine = orjson.loads(self.to_json())
        fields = [name for name in self.options if self.options[name] != known.options.get(name)]
        if mine["reads"] != known.reads:
            fields.append("source")
        if fields:
            what = " and ".join(fields)
            raise mismatch(batch, f"has stored {stored:,} items with a different {what}", fields)
        if self.fingerprint != known.fingerprint:
            raise SourceChanged(
                f"{self.name} has changed since {stored:,} of its items were stored; use another idempotency key, or "
                "--discard"
            )


@dataclass(frozen=True, slots=True)
class Resumed:
    """A submission that was interrupted, taken over.

    Args:
        checkpoint: how far it has come.
    """

    batch: OpenBatch
    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True)
class SourceItems:
    """Items of a source, from any of them on; or of an iterable, which is read once.

    Args:
        source: what they are read from; None: `items`.
        through: what each reading of the source goes through, such as a check whether to go on. It reads nothing ahead.
        log: what the submitter keeps of the submission.
    """

    source: ItemSource | None
    items: Iterable[Given] = ()
    through: Callable[[Iterable[Given]], Iterable[Given]] = iter
    log: SubmissionLog = field(default_factory=NoLog)

    @classmethod
    def once(cls, items: Iterable[Given]) -> Self:
        """Return items that cannot be read again."""
        return cls(None, items)

    def read(self, resumed: Resumed | None = None) -> Generator[Given, None, None]:
        """Yield the items, those after the checkpoint of a submission that was interrupted, if there was one."""
        checkpoint = None if resumed is None else resumed.checkpoint
        if checkpoint is None:
            self.log.resume(None, 0)
        else:
            self.log.resume(checkpoint.rejects, checkpoint.stored)
        if self.source is None:
            yield from self.items
        else:
            yield from self.through(self.source.read(None if checkpoint is None else checkpoint.validator.after))


def identity_of(items: SourceItems, submission: Submission, *, all_or_none: bool) -> SourceIdentity | None:
    """Return the identity of a submission that can be resumed; None: this one cannot."""
    source = items.source
    if source is None or submission.idempotency_key is None:
        return None
    fingerprint = source.fingerprint()
    if fingerprint is None:
        return None
    options = {
        "key_field": submission.key_field,
        "callback_url_field": submission.callback_url_field,
        "on_error": "fail" if all_or_none else "skip",
    }
    return SourceIdentity(source.name, source.describe(), fingerprint, options)


def find_known(
    context: Context, submission: Submission, identity: SourceIdentity | None = None, *, discard: bool = False
) -> tuple[Row | None, Resumed | None]:
    """Return the batch with the idempotency key of a submission, or if its submission was interrupted, what that is.

    Args:
        identity: of the submission, if it can go on with one that was interrupted.
        discard: whether what an interrupted submission has stored is removed.

    Raises:
        IdempotencyMismatch: it differs in an option, or in what it reads.
        SourceChanged: it reads a source that had another content.
        SubmissionInProgress: it is being submitted right now.
    """
    batch = find_existing(context, submission)
    if batch is None or not is_resumable(batch):
        return batch, None
    if discard:
        _discard(context, batch)
        return None, None
    resumed = _take_over(context, batch, submission, identity)
    if resumed is None:
        submit_lease.discard(context, batch["id"])
    return None, resumed


def _take_over(context: Context, batch: Row, submission: Submission, identity: SourceIdentity | None) -> Resumed | None:
    """Take over the lease of a submission that was interrupted; None if it is being removed."""
    lease = submit_lease.of_submitter(batch["id"])
    with context.database.write() as connection:
        _seize(context, connection, batch, lease)
        # Read once the lease is ours: its last holder may have stored another chunk.
        cursor = batches.load_cursor(connection, batch["id"])
        if cursor is None:
            return None
        checkpoint = Checkpoint.from_json(cursor)
        # An error undoes the take-over.
        refuse_other_options(batch, submission)
        if identity is None:
            reason = f"has stored {checkpoint.stored:,} items of {source_name(batch)}, and can only go on with these"
            raise mismatch(batch, reason, ["source"])
        identity.refuse_other(batch, checkpoint.stored)
    return Resumed(OpenBatch(batch["id"], batch["public_id"], lease), checkpoint)


def _discard(context: Context, batch: Row) -> None:
    lease = submit_lease.of_submitter(batch["id"])
    with context.database.write() as connection:
        _seize(context, connection, batch, lease)
    submit_lease.forget(context, batch["id"], lease)
    submit_lease.discard(context, batch["id"])


def _seize(context: Context, connection: Connection, batch: Row, lease: SubmitLease) -> None:
    if not submit_lease.take_interrupted(context, connection, lease):
        key = batch["idempotency_key"]
        raise SubmissionInProgress(f"idempotency key {key!r} is being submitted by another process; try again")


def source_name(batch: Row) -> str:
    """Return the name of what the submission of a batch reads."""
    return str(orjson.loads(batch["source"])["name"])
