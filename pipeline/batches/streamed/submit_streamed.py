"""Store a batch chunk by chunk as its items are read, and accept it once all of them are stored.

What a submission that can be resumed has stored stays if reading fails or the process dies; see `resume`. What any
other has stored is removed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial

from sqlalchemy import Connection

from pipeline.batches import submit_lease
from pipeline.batches.idempotency import ItemsDigest, SubmittedBody
from pipeline.batches.sql import batches
from pipeline.batches.store_items import ItemStore, OnProgress
from pipeline.batches.streamed.checkpoint import Checkpoint
from pipeline.batches.streamed.resume import NoLog, Resumed, SourceIdentity, SubmissionLog
from pipeline.batches.submission import OpenBatch, Submission, Submitted, open_batch
from pipeline.batches.validate import ItemValidator
from pipeline.context import Context
from pipeline.database.retry import TRANSIENT_ERRORS, retrying
from pipeline.database.row import Row
from pipeline.errors import Conflict, DatabaseFull, EndpointOwned, InvalidItems, NoItems, OutcomeUnknown, Unreachable


@dataclass(frozen=True, slots=True)
class Digests:
    """What a repetition of the submission is compared with; known once all items were read."""

    items: ItemsDigest | None
    body: SubmittedBody | None = None

    def reading(self, rows: Iterable[Row]) -> Iterable[Row]:
        """Return the rows, each of which is added to the digest as it is read."""
        return rows if self.items is None else self.items.reading(rows)

    def finish(self) -> tuple[str | None, str | None]:
        """Return the digests of the items and of the body, as they are stored."""
        return (
            None if self.items is None else str(self.items),
            None if self.body is None else str(self.body.finish()),
        )


@dataclass(frozen=True, slots=True)
class SubmissionReading:
    """How the items of a submission are read, and what is kept of them.

    Args:
        identity: of the submission, if it can be resumed.
        log: what the submitter keeps of it.
    """

    validator: ItemValidator
    digests: Digests
    identity: SourceIdentity | None = None
    log: SubmissionLog = field(default_factory=NoLog)

    def checkpoint(self, stored: int) -> str | None:
        """Return how far it has come, as JSON; None: it is not to be resumed."""
        digest = self.digests.items
        # A submission that is refused as a whole begins again, so that it is told every reason again.
        if digest is None or self.validator.refuses_all:
            return None
        return Checkpoint(stored, str(digest), digest.count, self.validator.state, self.log.mark()).to_json()


def submit_streamed(
    context: Context,
    submission: Submission,
    reading: SubmissionReading,
    chunks: Iterable[list[Row]],
    on_progress: OnProgress | None,
    resumed: Resumed | None = None,
) -> Submitted:
    """Store the items of a batch and accept it.

    Args:
        chunks: of its items; those that are not stored yet.
        resumed: the batch, if its submission was interrupted before.

    Raises:
        See `submit`.
    """
    stored = 0 if resumed is None else resumed.checkpoint.stored
    batch = _open(context, submission, reading) if resumed is None else resumed.batch
    ending = _ending_of(context, batch, reading)
    store = ItemStore(
        context,
        batch.row_id,
        reading.validator,
        lambda each: submit_lease.keep(context, each, batch.lease),
        submission.tenant,
        stored=stored,
        save=None if reading.identity is None else partial(_save, reading, batch.row_id),
    )
    with ending.storing(store), submit_lease.kept_alive(context, batch.lease):
        total = store.write(chunks, on_progress)
        digests = reading.digests.finish()
        check_stored(reading.validator, total)
    with ending.accepting():
        retrying(partial(_accept, context, batch, total, *digests), patience=context.lease)
    return Submitted(
        batch.public_id,
        batch.row_id,
        total,
        is_new=True,
        without_url=reading.validator.without_url,
        resumed_at=stored,
    )


def check_stored(validator: ItemValidator, total: int) -> None:
    """Raise an error if what was stored of a submission cannot be accepted.

    Raises:
        InvalidItems: an item was refused, or there are none.
        InvalidInput: no item has the field that should hold its callback URL.
    """
    validator.raise_if_refused()
    if not total and not validator.rejected:
        raise NoItems("there are no items to accept")
    if not total:
        raise validator.error("there are no items to accept")
    validator.raise_if_unknown()


def _open(context: Context, submission: Submission, reading: SubmissionReading) -> OpenBatch:
    source = None if reading.identity is None else reading.identity.to_json()
    return open_batch(context, submission, submit_lease.of_submitter, source=source)


def _save(reading: SubmissionReading, batch_id: int, connection: Connection, stored: int) -> None:
    batches.save_cursor(connection, batch_id, reading.checkpoint(stored))


def _accept(context: Context, batch: OpenBatch, total: int, items_digest: str | None, body_digest: str | None) -> None:
    with context.database.write() as connection:
        if batches.is_accepted(connection, batch.row_id):
            # By the attempt before this one: the connection was lost during its commit.
            return
        submit_lease.keep(context, connection, batch.lease)
        batches.accept(connection, batch.row_id, total, context.now(), items_digest, body_digest)
        submit_lease.drop(connection, batch.lease)


def unknown_whether_accepted(public_id: str) -> Callable[[Exception], Unreachable]:
    """Return what makes the error to raise if the database was lost during the commit that accepts a batch."""
    advice = (
        f"it is unknown whether batch {public_id} was accepted; when the database is back, run "
        f"`pipeline status {public_id}`, and submit again if there is no such batch"
    )

    def explain(error: Exception) -> Unreachable:
        if isinstance(error, DatabaseFull):
            # It refused to write: the attempts before would have been found.
            return DatabaseFull(f"{error}; nothing was accepted; submit it again")
        return OutcomeUnknown(f"{error}; {advice}", public_id)

    return explain


@contextmanager
def explained(explain: Callable[[Exception], Unreachable]) -> Iterator[None]:
    """Raise what `explain` makes of the error if the database was lost."""
    try:
        yield
    except TRANSIENT_ERRORS as error:
        raise explain(error) from error


class _Ending:
    """What becomes of the stored items if the submission fails: they are removed."""

    def __init__(self, context: Context, batch: OpenBatch) -> None:
        self._context, self._batch = context, batch

    @contextmanager
    def storing(self, store: ItemStore) -> Iterator[None]:
        with self._discarding(lambda error: _lost(error, "nothing was accepted; submit it again")):
            yield

    @contextmanager
    def accepting(self) -> Iterator[None]:
        # The connection may be lost during the commit.
        with self._discarding(unknown_whether_accepted(self._batch.public_id)):
            yield

    @contextmanager
    def _discarding(self, explain: Callable[[Exception], Unreachable]) -> Iterator[None]:
        try:
            with explained(explain):
                yield
        except Unreachable:
            # A sweep removes what is stored, once the submitter's lease has run out.
            raise
        except BaseException:
            submit_lease.discard(self._context, self._batch.row_id)
            raise


class _ResumableEnding(_Ending):
    """What becomes of the stored items if the submission fails: they are kept, unless they are the reason."""

    def __init__(self, context: Context, batch: OpenBatch, log: SubmissionLog) -> None:
        super().__init__(context, batch)
        self._log = log

    @contextmanager
    def storing(self, store: ItemStore) -> Iterator[None]:
        try:
            with explained(lambda error: _lost(error, _kept(store.total))):
                yield
        except Unreachable:
            self._log.interrupted(store.total)
            raise
        except (InvalidItems, EndpointOwned):
            self._remove()
            raise
        except BaseException:
            # Reading failed, or was stopped.
            self._hand_back(store.total)
            raise

    @contextmanager
    def accepting(self) -> Iterator[None]:
        with explained(unknown_whether_accepted(self._batch.public_id)):
            yield

    def _hand_back(self, stored: int) -> None:
        if not stored:
            self._remove()
            return
        self._log.interrupted(stored)
        # Without it, the next submission waits until the lease has run out.
        with suppress(*TRANSIENT_ERRORS):
            submit_lease.hand_back(self._context, self._batch.row_id, [self._batch.lease.holder])

    def _remove(self) -> None:
        with suppress(Conflict, *TRANSIENT_ERRORS):
            # Another process that has taken over the lease goes on with what is stored.
            submit_lease.forget(self._context, self._batch.row_id, self._batch.lease)
            submit_lease.discard(self._context, self._batch.row_id)


def _ending_of(context: Context, batch: OpenBatch, reading: SubmissionReading) -> _Ending:
    return _Ending(context, batch) if reading.identity is None else _ResumableEnding(context, batch, reading.log)


def _lost(error: Exception, outcome: str) -> Unreachable:
    # A full disk is not called unreachable.
    kind = DatabaseFull if isinstance(error, DatabaseFull) else Unreachable
    return kind(f"{error}; {outcome}")


def _kept(stored: int) -> str:
    if not stored:
        return "nothing was accepted; submit it again"
    return f"{stored:,} items are stored; the same submission again goes on"
