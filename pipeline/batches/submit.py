"""Submit a batch: store all of its items or none, streamed so that memory stays flat."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from pipeline.batches import submit_lease
from pipeline.batches.idempotency import ItemsDigest, refuse_different, refuse_other_items
from pipeline.batches.prepare import prepare
from pipeline.batches.sql import batches, items
from pipeline.batches.sql import definitions as stored_definitions
from pipeline.batches.store_items import (
    ItemChunks,
    OnProgress,
    numbered,
    refuse_duplicates,
    store_chunks,
    stored_positions,
)
from pipeline.batches.validate import Given, ItemValidator, OnReject, Rules
from pipeline.context import Context
from pipeline.database.retry import TRANSIENT_ERRORS, retrying
from pipeline.database.row import Row
from pipeline.definitions import Definition, to_content
from pipeline.domain import bounds
from pipeline.domain.callback_url import check_callback_url
from pipeline.domain.ids import new_batch_id
from pipeline.domain.retry_schedule import check_schedule
from pipeline.domain.tenant import DEFAULT_TENANT
from pipeline.errors import Conflict, InvalidInput, Unreachable


@dataclass(frozen=True, slots=True)
class Submission:
    """How to process the items of a batch.

    Args:
        definition: classifier and enrichers.
        callback_url: receives every item's event.
        batch_callback_url: receives `batch.completed`.
        fallback_url: receives `delivery.exhausted` for each callback that is given up.
        callback_schedule: name of the retry schedule of its callbacks; default: `standard`. An endpoint's schedule
            overrides it.
        idempotency_key: the caller's name for this submission; the same submission again with the same key changes
            nothing.
        fair_key: batches with the same key share one turn.
        weight: share of this batch relative to others.
        key_field: payload field that holds the caller's key; default: the definition's.
        callback_url_field: payload field that holds the item's own callback URL.
        tenant: whose batch it is; an idempotency key is unique within a tenant.
    """

    definition: Definition
    callback_url: str | None = None
    batch_callback_url: str | None = None
    fallback_url: str | None = None
    callback_schedule: str | None = None
    idempotency_key: str | None = None
    fair_key: str = ""
    weight: int = 1
    key_field: str | None = None
    callback_url_field: str | None = None
    tenant: str = DEFAULT_TENANT


@dataclass(frozen=True, slots=True)
class Submitted:
    """A batch that was accepted.

    Args:
        batch_id: its public id.
        row_id: the id of its row.
        total: number of items.
        is_new: False if the idempotency key was known.
        without_url: number of items without a value in `callback_url_field`.
    """

    batch_id: str
    row_id: int
    total: int
    is_new: bool
    without_url: int = 0


def submit(
    context: Context,
    given: Iterable[Given],
    submission: Submission,
    *,
    on_reject: OnReject | None = None,
    on_progress: OnProgress | None = None,
    all_or_none: bool | None = None,
) -> Submitted:
    """Store a batch and make its items available to workers.

    Args:
        given: items or payloads; an iterator is read once.
        on_reject: called with each refused item, while the others are accepted. Without it, one refused item refuses
            the whole batch.
        on_progress: called with the number of items stored so far.
        all_or_none: whether one refused item refuses the whole batch; default: True without `on_reject`.

    Raises:
        InvalidItems: an item was refused, or there are no items. Nothing is stored.
        Conflict: the idempotency key belongs to a batch with another definition, other options or other items.
        InvalidDefinition: the definition cannot be run.
        InvalidInput: an option is invalid.
    """
    submission = _checked(context, submission)
    if all_or_none is None:
        all_or_none = on_reject is None
    validator = ItemValidator(_rules(context, submission), on_reject, all_or_none=all_or_none)
    existing = _existing(context, submission)
    if existing is None:
        return _submit_new(context, submission, validator, given, on_progress)
    _refuse_other_items(context, existing, validator, given)
    return Submitted(
        existing["public_id"], existing["id"], existing["total"], is_new=False, without_url=validator.without_url
    )


def _submit_new(
    context: Context,
    submission: Submission,
    validator: ItemValidator,
    given: Iterable[Given],
    on_progress: OnProgress | None,
) -> Submitted:
    """Store the items of a batch that is not known yet, in one transaction if one chunk holds all of them."""
    prepare(context, submission.definition)
    digest = None if submission.idempotency_key is None else ItemsDigest()
    rows = validator.rows(given, context.now)
    chunks = ItemChunks(rows if digest is None else digest.reading(rows))
    first = next(chunks, [])
    if chunks.is_over:
        return _submit_whole(context, submission, validator, first, digest, on_progress)
    return _submit_streamed(context, submission, validator, chain([first], chunks), digest, on_progress)


def _submit_whole(
    context: Context,
    submission: Submission,
    validator: ItemValidator,
    chunk: list[Row],
    digest: ItemsDigest | None,
    on_progress: OnProgress | None,
) -> Submitted:
    """Store a batch and all of its items in one transaction: nothing has to be removed if that fails."""
    rows = refuse_duplicates({}, chunk, validator)
    _raise_unless_acceptable(validator, len(rows))
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
            batch_id = _add_batch(context, connection, submission, public_id)
            has_begun = True
            items.add(connection, numbered(rows, batch_id))
            batches.accept(connection, batch_id, len(rows), context.now(), _digest_text(digest))
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
    digest: ItemsDigest | None,
    on_progress: OnProgress | None,
) -> Submitted:
    """Store the items of a batch chunk by chunk as they are read, and accept it once all of them are stored."""
    public_id = new_batch_id()
    with context.database.write() as connection:
        batch_id = _add_batch(context, connection, submission, public_id)
        submit_lease.take(context, connection, batch_id)
    with _discard_on_failure(context, batch_id, advice="nothing was accepted; submit it again"):
        with submit_lease.kept_alive(context, batch_id):
            total = store_chunks(context, batch_id, validator, chunks, on_progress)
        _raise_unless_acceptable(validator, total)
    # The connection may be lost during the commit.
    with _discard_on_failure(context, batch_id, advice=_unknown_whether_accepted(public_id)):
        retrying(lambda: _accept(context, batch_id, total, digest), patience=context.lease)
    return Submitted(public_id, batch_id, total, is_new=True, without_url=validator.without_url)


def _raise_unless_acceptable(validator: ItemValidator, total: int) -> None:
    validator.raise_if_refused()
    if not total:
        raise validator.error("there are no items to accept")
    validator.raise_if_unknown()


def _unknown_whether_accepted(public_id: str) -> str:
    return (
        f"it is unknown whether batch {public_id} was accepted; when the database is back, run "
        f"`pipeline status {public_id}`, and submit again if there is no such batch"
    )


@contextmanager
def _explained(advice: str) -> Iterator[None]:
    """Append `advice` to the error of an unreachable database."""
    try:
        yield
    except TRANSIENT_ERRORS as error:
        raise Unreachable(f"{error}; {advice}") from error


@contextmanager
def _discard_on_failure(context: Context, batch_id: int, *, advice: str) -> Iterator[None]:
    """Remove the batch if the block fails; `advice` is appended to the error of an unreachable database."""
    try:
        with _explained(advice):
            yield
    except Unreachable:
        # A sweep removes what is stored, once the submitter's lease has run out.
        raise
    except BaseException:
        submit_lease.discard(context, batch_id)
        raise


def _accept(context: Context, batch_id: int, total: int, digest: ItemsDigest | None) -> None:
    with context.database.write() as connection:
        if batches.is_accepted(connection, batch_id):
            # By the attempt before this one: the connection was lost during its commit.
            return
        submit_lease.keep(context, connection, batch_id)
        batches.accept(connection, batch_id, total, context.now(), _digest_text(digest))
        submit_lease.drop(context, connection, batch_id)


def _digest_text(digest: ItemsDigest | None) -> str | None:
    return None if digest is None else str(digest)


def _checked(context: Context, submission: Submission) -> Submission:
    bounds.WEIGHT.check("weight", submission.weight)
    if submission.idempotency_key is not None:
        bounds.IDEMPOTENCY_KEY.check("idempotency_key", submission.idempotency_key)
    if submission.fair_key != "":
        bounds.FAIR_KEY.check("fair_key", submission.fair_key)
    for name in ("key_field", "callback_url_field"):
        if getattr(submission, name) is not None:
            bounds.FIELD.check(name, getattr(submission, name))
    items_url = _checked_url(context, submission.callback_url, "callback_url")
    batch_url = _checked_url(context, submission.batch_callback_url, "batch_callback_url")
    fallback = _checked_url(context, submission.fallback_url, "fallback_url")
    if fallback is not None and fallback in (items_url, batch_url):
        raise InvalidInput("fallback_url is also a callback URL of the batch; give one that works when that one fails")
    if submission.callback_schedule is not None:
        check_schedule(submission.callback_schedule)
    return replace(submission, callback_url=items_url, batch_callback_url=batch_url, fallback_url=fallback)


def _checked_url(context: Context, url: str | None, name: str) -> str | None:
    if url is None:
        return None
    callback = check_callback_url(url, context.settings.allow_private_callbacks, name=name)
    if not context.settings.secrets:
        raise InvalidInput(
            "callbacks are signed, but PIPELINE_WEBHOOK_SECRET is not set; create one with `pipeline secret` and give "
            "it to the receiver"
        )
    return callback.url


def _rules(context: Context, submission: Submission) -> Rules:
    given = submission.definition.input
    return Rules(
        text_field=given.text,
        accepts_empty_text=given.empty == "accept",
        key_field=submission.key_field or given.key,
        callback_url_field=submission.callback_url_field,
        max_payload_bytes=context.settings.max_payload_bytes,
        allow_private=context.settings.allow_private_callbacks,
        has_secret=bool(context.settings.secrets),
    )


def _existing(context: Context, submission: Submission) -> Row | None:
    """Return the batch with the idempotency key of a submission; None if there is none.

    Raises:
        Conflict: it differs in an option, or is being submitted right now.
    """
    key = submission.idempotency_key
    if key is None:
        return None
    with context.database.read() as connection:
        row = batches.find_by_idempotency_key(connection, submission.tenant, key)
        # In the same snapshot: both may be pruned.
        content = None if row is None else stored_definitions.load_content(connection, row["definition_id"])
    if row is None:
        return None
    if row["state"] != "accepting":
        _refuse_if_different({**row, "definition": content}, submission)
        return row
    submit_lease.discard_abandoned(context)
    with context.database.read() as connection:
        if batches.find_by_idempotency_key(connection, submission.tenant, key) is None:
            return None
    raise Conflict(f"a batch with idempotency key {key!r} is being submitted by another process; try again")


def _refuse_if_different(known: Row, submission: Submission) -> None:
    given = {name: getattr(submission, name) for name in _COMPARED}
    stored = {**known, "callback_schedule": known["schedule"]}
    refuse_different(known, stored, {"definition": to_content(submission.definition), **given})


_COMPARED = ("callback_url", "batch_callback_url", "fallback_url", "callback_schedule", "fair_key", "weight")


def _refuse_other_items(context: Context, known: Row, validator: ItemValidator, given: Iterable[Given]) -> None:
    """Read the items of a submission that repeats an idempotency key, and compare them with those of its batch."""
    if known["items_digest"] is None:
        # Of a version that kept no digest.
        return
    digest = ItemsDigest()
    for chunk in ItemChunks(digest.reading(validator.rows(given, context.now))):
        # Reported as in the first submission: an item of the same key is stored at another position.
        refuse_duplicates(stored_positions(context, known["id"], chunk), chunk, validator)
    refuse_other_items(known, digest)
    validator.raise_if_refused()


def _add_batch(context: Context, connection: Connection, submission: Submission, public_id: str) -> int:
    """Insert a batch in state `accepting`, with its definition. Return its row id."""
    now = context.now()
    definition = submission.definition
    definition_id = stored_definitions.store(
        connection,
        name=definition.name,
        version=definition.version,
        content=to_content(definition),
        stages=",".join(definition.stages),
        now=now,
    )
    row: Row = {
        "public_id": public_id,
        "definition_id": definition_id,
        "fair_key": submission.fair_key,
        "weight": submission.weight,
        "callback_url": submission.callback_url,
        "batch_callback_url": submission.batch_callback_url,
        "fallback_url": submission.fallback_url,
        "schedule": submission.callback_schedule,
        "idempotency_key": submission.idempotency_key,
        "tenant": submission.tenant,
        "created_at": now,
    }
    try:
        return batches.add(connection, row)
    except IntegrityError as error:
        key = submission.idempotency_key
        if key is None or "idempotency_key" not in str(error.orig):
            raise
        raise Conflict(f"idempotency key {key!r} was just used by another process; try again") from None
