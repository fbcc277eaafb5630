"""Submit a batch: store all of its items or none, streamed so that memory stays flat."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain

from pipeline.batches import submit_lease
from pipeline.batches.idempotency import ItemsDigest, SubmittedBody, refuse_other_body, refuse_other_items
from pipeline.batches.prepare import prepare
from pipeline.batches.sql import batches, items
from pipeline.batches.store_items import (
    ItemChunks,
    ItemStore,
    OnProgress,
    numbered,
    refuse_duplicates,
    refuse_foreign,
    stored_positions,
)
from pipeline.batches.submission import Submission, Submitted, admit, checked, find_existing, insert_batch, rules_of
from pipeline.batches.submit_lease import SubmitLease
from pipeline.batches.validate import Given, ItemValidator, OnReject
from pipeline.context import Context
from pipeline.database.retry import TRANSIENT_ERRORS, retrying
from pipeline.database.row import Row
from pipeline.domain.ids import new_batch_id
from pipeline.errors import DatabaseFull, NoItems, OutcomeUnknown, Unreachable


def submit(
    context: Context,
    given: Iterable[Given],
    submission: Submission,
    *,
    on_reject: OnReject | None = None,
    on_progress: OnProgress | None = None,
    all_or_none: bool | None = None,
    body: SubmittedBody | None = None,
) -> Submitted:
    """Store a batch and make its items available to workers.

    Args:
        given: items or payloads; an iterator is read once.
        on_reject: called with each refused item, while the others are accepted. Without it, one refused item refuses
            the whole batch.
        on_progress: called with the number of items stored so far.
        all_or_none: whether one refused item refuses the whole batch; default: True without `on_reject`.
        body: what the items are read from, if they are from a request: it is compared instead of the items.

    Raises:
        InvalidItems: an item was refused, or there are no items. Nothing is stored.
        IdempotencyMismatch: the idempotency key belongs to a batch with another definition, other options or other
            items.
        SubmissionInProgress: a batch with the idempotency key is being submitted.
        BacklogFull: the tenant has too many items that wait.
        EndpointOwned: a callback URL is at an endpoint of another tenant.
        InvalidDefinition: the definition cannot be run.
        InvalidInput: an option is invalid.
    """
    submission = checked(context, submission)
    if all_or_none is None:
        all_or_none = on_reject is None
    validator = ItemValidator(rules_of(context, submission), on_reject, all_or_none=all_or_none)
    existing = find_existing(context, submission)
    if existing is None:
        return _submit_new(context, submission, validator, given, on_progress, body)
    _refuse_other_items(context, existing, validator, given, body)
    return Submitted(
        existing["public_id"], existing["id"], existing["total"], is_new=False, without_url=validator.without_url
    )


def _submit_new(
    context: Context,
    submission: Submission,
    validator: ItemValidator,
    given: Iterable[Given],
    on_progress: OnProgress | None,
    body: SubmittedBody | None,
) -> Submitted:
    """Store the items of a batch that is not known yet, in one transaction if one chunk holds all of them."""
    prepare(context, submission.definition)
    if body is not None:
        # Whoever sends it may wait for word before that.
        with context.database.read() as connection:
            admit(context, connection, submission)
    digests = _Digests(None if submission.idempotency_key is None else ItemsDigest(), body)
    chunks = ItemChunks(digests.reading(validator.rows(given, context.now)))
    first = next(chunks, [])
    if chunks.is_over:
        return _submit_whole(context, submission, validator, first, digests, on_progress)
    return _submit_streamed(context, submission, validator, chain([first], chunks), digests, on_progress)


@dataclass(frozen=True, slots=True)
class _Digests:
    """What a repetition of the submission is compared with; known once all items were read."""

    items: ItemsDigest | None
    body: SubmittedBody | None

    def reading(self, rows: Iterable[Row]) -> Iterable[Row]:
        return rows if self.items is None else self.items.reading(rows)

    def finish(self) -> tuple[str | None, str | None]:
        """Return the digests of the items and of the body, as they are stored."""
        return (
            None if self.items is None else str(self.items),
            None if self.body is None else str(self.body.finish()),
        )


def _submit_whole(
    context: Context,
    submission: Submission,
    validator: ItemValidator,
    chunk: list[Row],
    digests: _Digests,
    on_progress: OnProgress | None,
) -> Submitted:
    """Store a batch and all of its items in one transaction: nothing has to be removed if that fails."""
    items_digest, body_digest = digests.finish()
    rows = refuse_duplicates({}, chunk, validator)
    check_stored(validator, len(rows))
    if on_progress:
        # Before the transaction: what it raises leaves nothing behind.
        on_progress(len(rows))
    public_id = new_batch_id()
    has_begun = False

    def store() -> int:
        nonlocal has_begun
        with context.database.write() as connection:
            if has_begun and (known := batches.find_id(connection, public_id)) is not None:
                # By the attempt before this one: the connection was lost during its commit.
                return known
            refuse_foreign(connection, {row["callback_url"] for row in rows}, submission.tenant)
            batch_id = insert_batch(context, connection, submission, public_id)
            has_begun = True
            items.add(connection, numbered(rows, batch_id))
            batches.accept(connection, batch_id, len(rows), context.now(), items_digest, body_digest)
            return batch_id

    try:
        batch_id = store()
    except TRANSIENT_ERRORS:
        if not has_begun:
            raise
        with _explained(_unknown_whether_accepted(public_id)):
            batch_id = retrying(store, patience=context.lease)
    return Submitted(public_id, batch_id, len(rows), is_new=True, without_url=validator.without_url)


def _submit_streamed(
    context: Context,
    submission: Submission,
    validator: ItemValidator,
    chunks: Iterable[list[Row]],
    digests: _Digests,
    on_progress: OnProgress | None,
) -> Submitted:
    """Store the items of a batch chunk by chunk as they are read, and accept it once all of them are stored."""
    batch_id, public_id = open_batch(context, submission, partial(submit_lease.of_submitter, context))
    lease = submit_lease.of_submitter(context, batch_id)
    with _discard_on_failure(context, batch_id, _not_accepted):
        with submit_lease.kept_alive(context, lease):
            store = ItemStore(
                context, batch_id, validator, lambda each: submit_lease.keep(context, each, lease), submission.tenant
            )
            total = store.write(chunks, on_progress)
            finished = digests.finish()
        check_stored(validator, total)
    # The connection may be lost during the commit.
    with _discard_on_failure(context, batch_id, _unknown_whether_accepted(public_id)):
        retrying(lambda: _accept(context, lease, batch_id, total, *finished), patience=context.lease)
    return Submitted(public_id, batch_id, total, is_new=True, without_url=validator.without_url)


def open_batch(
    context: Context,
    submission: Submission,
    lease: Callable[[int], SubmitLease],
    *,
    body_digest: str | None = None,
) -> tuple[int, str]:
    """Store a batch without items, and take the lease on it. Return its row id and its id.

    Args:
        lease: called with the row id.
        body_digest: of the request that opens it; None: not known yet.

    Raises:
        SubmissionInProgress, EndpointOwned: see `insert_batch`.
    """
    public_id = new_batch_id()
    with context.database.write() as connection:
        batch_id = insert_batch(context, connection, submission, public_id, body_digest=body_digest)
        submit_lease.take(context, connection, lease(batch_id))
    return batch_id, public_id


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


def _not_accepted(error: Exception) -> Unreachable:
    # A full disk is not called unreachable.
    kind = DatabaseFull if isinstance(error, DatabaseFull) else Unreachable
    return kind(f"{error}; nothing was accepted; submit it again")


def _unknown_whether_accepted(public_id: str) -> Callable[[Exception], Unreachable]:
    advice = (
        f"it is unknown whether batch {public_id} was accepted; when the database is back, run "
        f"`pipeline status {public_id}`, and submit again if there is no such batch"
    )
    return lambda error: OutcomeUnknown(f"{error}; {advice}", public_id)


@contextmanager
def _explained(explain: Callable[[Exception], Unreachable]) -> Iterator[None]:
    """Raise what `explain` makes of the error if the database was lost."""
    try:
        yield
    except TRANSIENT_ERRORS as error:
        raise explain(error) from error


@contextmanager
def _discard_on_failure(context: Context, batch_id: int, explain: Callable[[Exception], Unreachable]) -> Iterator[None]:
    """Remove the batch if the block fails; `explain` makes the error to raise if the database was lost."""
    try:
        with _explained(explain):
            yield
    except Unreachable:
        # A sweep removes what is stored, once the submitter's lease has run out.
        raise
    except BaseException:
        submit_lease.discard(context, batch_id)
        raise


def _accept(
    context: Context,
    lease: SubmitLease,
    batch_id: int,
    total: int,
    items_digest: str | None,
    body_digest: str | None,
) -> None:
    with context.database.write() as connection:
        if batches.is_accepted(connection, batch_id):
            # By the attempt before this one: the connection was lost during its commit.
            return
        submit_lease.keep(context, connection, lease)
        batches.accept(connection, batch_id, total, context.now(), items_digest, body_digest)
        submit_lease.drop(connection, lease)


def _refuse_other_items(
    context: Context, known: Row, validator: ItemValidator, given: Iterable[Given], body: SubmittedBody | None
) -> None:
    """Compare what a submission that repeats an idempotency key consists of with the batch that has it."""
    if known["body_digest"] is not None and (body is not None or known["items_digest"] is None):
        refuse_other_body(known, body)
        return
    if known["items_digest"] is None:
        # Of a version that kept no digest.
        return
    digest = ItemsDigest()
    for chunk in ItemChunks(digest.reading(validator.rows(given, context.now))):
        # Reported as in the first submission: an item of the same key is stored at another position.
        refuse_duplicates(stored_positions(context, known["id"], chunk), chunk, validator)
    if body is not None:
        body.finish()
    refuse_other_items(known, digest)
    validator.raise_if_refused()
