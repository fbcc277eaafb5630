"""Submit a batch: store all of its items or none, streamed so that memory stays flat."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from itertools import chain

from pipeline.batches.idempotency import ItemsDigest, SubmittedBody, digest_like, refuse_other_body, refuse_other_items
from pipeline.batches.prepare import prepare
from pipeline.batches.sql import batches, items
from pipeline.batches.store_items import (
    ItemChunks,
    OnProgress,
    numbered,
    refuse_duplicates,
    refuse_foreign,
    stored_positions,
)
from pipeline.batches.streamed.resume import Resumed, SourceItems, find_known, identity_of
from pipeline.batches.streamed.submit_streamed import (
    Digests,
    SubmissionReading,
    check_stored,
    explained,
    submit_streamed,
    unknown_whether_accepted,
)
from pipeline.batches.submission import Submission, Submitted, admit, checked, insert_batch, rules_of
from pipeline.batches.submission_trace import send_submit_span
from pipeline.batches.validate import Given, ItemValidator, OnReject
from pipeline.context import Context
from pipeline.database.retry import TRANSIENT_ERRORS, retrying
from pipeline.database.row import Row
from pipeline.domain.ids import new_batch_id
from pipeline.telemetry.tracing import is_tracing


def submit(
    context: Context,
    given: Iterable[Given] | SourceItems,
    submission: Submission,
    *,
    on_reject: OnReject | None = None,
    on_progress: OnProgress | None = None,
    all_or_none: bool | None = None,
    body: SubmittedBody | None = None,
    discard: bool = False,
) -> Submitted:
    """Store a batch and make its items available to workers.

    Args:
        given: items or payloads; an iterator is read once. With an idempotency key, those of a source that can be
            resumed stay stored if the submission is interrupted, and the same submission again goes on.
        on_reject: called with each refused item, while the others are accepted. Without it, one refused item refuses
            the whole batch.
        on_progress: called with the number of items stored so far.
        all_or_none: whether one refused item refuses the whole batch; default: True without `on_reject`.
        body: what the items are read from, if they are from a request: it is compared instead of the items.
        discard: whether what an interrupted submission with the idempotency key has stored is removed first.

    Raises:
        InvalidItems: an item was refused, or there are no items. Nothing is stored.
        IdempotencyMismatch: the idempotency key belongs to a batch with another definition, other options or other
            items.
        SourceChanged: the source is not as it was when the submission was interrupted.
        SubmissionInProgress: a batch with the idempotency key is being submitted.
        BacklogFull: the tenant has too many items that wait.
        EndpointOwned: a callback URL is at an endpoint of another tenant.
        InvalidDefinition: the definition cannot be run.
        InvalidInput: an option is invalid.
    """
    started_at, is_traced = context.now(), is_tracing()
    submission = replace(checked(context, submission), is_traced=is_traced)
    if all_or_none is None:
        all_or_none = on_reject is None
    source = given if isinstance(given, SourceItems) else SourceItems.once(given)
    identity = identity_of(source, submission, all_or_none=all_or_none)
    existing, resumed = find_known(context, submission, identity, discard=discard)
    state = None if resumed is None else resumed.checkpoint.validator
    validator = ItemValidator(rules_of(context, submission), on_reject, all_or_none=all_or_none, state=state)
    # Files and connections are closed when this returns, not when the generators are collected.
    with closing(source.read(resumed)) as read:
        if existing is not None:
            return _submit_again(context, existing, validator, read, body)
        reading = SubmissionReading(validator, Digests(_digest(submission, resumed), body), identity, source.log)
        chunks = ItemChunks(reading.digests.reading(validator.rows(read, context.now)))
        if resumed is not None:
            submitted = submit_streamed(context, submission, reading, chunks, on_progress, resumed)
        else:
            submitted = _submit_new(context, submission, reading, chunks, on_progress)
    if is_traced:
        send_submit_span(context, submission, submitted, started_at)
    return submitted


def _submit_again(
    context: Context, known: Row, validator: ItemValidator, given: Iterable[Given], body: SubmittedBody | None
) -> Submitted:
    """Return the batch that has the idempotency key, if it consists of the same."""
    _refuse_other_items(context, known, validator, given, body)
    return Submitted(known["public_id"], known["id"], known["total"], is_new=False, without_url=validator.without_url)


def _digest(submission: Submission, resumed: Resumed | None) -> ItemsDigest | None:
    if submission.idempotency_key is None:
        return None
    return ItemsDigest() if resumed is None else ItemsDigest(resumed.checkpoint.digest, resumed.checkpoint.digested)


def _submit_new(
    context: Context,
    submission: Submission,
    reading: SubmissionReading,
    chunks: ItemChunks,
    on_progress: OnProgress | None,
) -> Submitted:
    """Store the items of a batch that is not known yet, in one transaction if one chunk holds all of them."""
    prepare(context, submission.definition)
    if reading.digests.body is not None:
        # Whoever sends it may wait for word before that.
        with context.database.read() as connection:
            admit(context, connection, submission)
    first = next(chunks, [])
    if chunks.is_over:
        return _submit_whole(context, submission, reading, first, on_progress)
    return submit_streamed(context, submission, reading, chain([first], chunks), on_progress)


def _submit_whole(
    context: Context,
    submission: Submission,
    reading: SubmissionReading,
    chunk: list[Row],
    on_progress: OnProgress | None,
) -> Submitted:
    """Store a batch and all of its items in one transaction: nothing has to be removed if that fails."""
    validator = reading.validator
    items_digest, body_digest = reading.digests.finish()
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
            batch_id = insert_batch(context, connection, submission, public_id, total=len(rows))
            has_begun = True
            items.add(connection, numbered(rows, batch_id))
            batches.accept(connection, batch_id, len(rows), context.now(), items_digest, body_digest)
            return batch_id

    try:
        batch_id = store()
    except TRANSIENT_ERRORS:
        if not has_begun:
            raise
        with explained(unknown_whether_accepted(public_id)):
            batch_id = retrying(store, patience=context.lease)
    return Submitted(public_id, batch_id, len(rows), is_new=True, without_url=validator.without_url)


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
    digest = digest_like(known["items_digest"])
    for chunk in ItemChunks(digest.reading(validator.rows(given, context.now))):
        # Reported as in the first submission: an item of the same key is stored at another position.
        refuse_duplicates(stored_positions(context, known["id"], chunk), chunk, validator)
    if body is not None:
        body.finish()
    refuse_other_items(known, digest)
    validator.raise_if_refused()
