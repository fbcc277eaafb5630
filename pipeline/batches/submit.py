"""Submit a batch: store all of its items or none, streamed so that memory stays flat."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from pipeline.batches import submit_lease
from pipeline.batches.idempotency import (
    ItemsDigest,
    SubmittedBody,
    refuse_different,
    refuse_other_body,
    refuse_other_items,
)
from pipeline.batches.prepare import prepare
from pipeline.batches.sql import batches
from pipeline.batches.sql import definitions as stored_definitions
from pipeline.batches.store_items import ItemStore, OnProgress, chunks, refuse_duplicates, refuse_foreign
from pipeline.batches.submit_lease import SubmitLease
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
from pipeline.errors import (
    BacklogFull,
    DatabaseFull,
    InvalidInput,
    NoItems,
    OutcomeUnknown,
    SubmissionInProgress,
    Unreachable,
)


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
    """Store the items of a batch that is not known yet, and accept it once all of them are stored."""
    digest = None if submission.idempotency_key is None else ItemsDigest()
    batch_id, public_id = open_batch(context, submission, lambda id_: submit_lease.of_submitter(context, id_))
    lease = submit_lease.of_submitter(context, batch_id)
    with _discard_on_failure(context, batch_id, _not_accepted):
        with submit_lease.kept_alive(context, lease):
            store = ItemStore(
                context, batch_id, validator, lambda each: submit_lease.keep(context, each, lease), submission.tenant
            )
            rows = validator.rows(given, batch_id, context.now)
            total = store.write(rows if digest is None else digest.reading(rows), on_progress)
            body_digest = None if body is None else str(body.finish())
        check_stored(validator, total)
    # The connection may be lost during the commit.
    advice = (
        f"it is unknown whether batch {public_id} was accepted; when the database is back, run "
        f"`pipeline status {public_id}`, and submit again if there is no such batch"
    )
    with _discard_on_failure(context, batch_id, lambda error: OutcomeUnknown(f"{error}; {advice}", public_id)):
        retrying(lambda: _accept(context, lease, batch_id, total, digest, body_digest), patience=context.lease)
    return Submitted(public_id, batch_id, total, is_new=True, without_url=validator.without_url)


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


@contextmanager
def _discard_on_failure(context: Context, batch_id: int, explain: Callable[[Exception], Unreachable]) -> Iterator[None]:
    """Remove the batch if the block fails; `explain` makes the error to raise if the database was lost."""
    try:
        yield
    except TRANSIENT_ERRORS as error:
        # A sweep removes what is stored, once the submitter's lease has run out.
        raise explain(error) from error
    except BaseException:
        submit_lease.discard(context, batch_id)
        raise


def _accept(
    context: Context,
    lease: SubmitLease,
    batch_id: int,
    total: int,
    digest: ItemsDigest | None,
    body_digest: str | None,
) -> None:
    with context.database.write() as connection:
        if batches.is_accepted(connection, batch_id):
            # By the attempt before this one: the connection was lost during its commit.
            return
        submit_lease.keep(context, connection, lease)
        items_digest = None if digest is None else str(digest)
        batches.accept(connection, batch_id, total, context.now(), items_digest, body_digest)
        submit_lease.drop(connection, lease)


def checked(context: Context, submission: Submission) -> Submission:
    """Return a submission with its URLs in their normal form.

    Raises:
        InvalidInput: an option is invalid.
    """
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


def rules_of(context: Context, submission: Submission) -> Rules:
    """Return what each item of a submission must satisfy."""
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


def find_existing(context: Context, submission: Submission) -> Row | None:
    """Return the batch with the idempotency key of a submission; None if there is none.

    Raises:
        IdempotencyMismatch: it differs in an option.
        SubmissionInProgress: it is being submitted right now.
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
    # Until it is accepted, only one that is uploaded in parts knows its body.
    if row["state"] != "accepting" or row["body_digest"] is not None:
        _refuse_if_different({**row, "definition": content}, submission)
        return row
    submit_lease.discard_abandoned(context)
    with context.database.read() as connection:
        if batches.find_by_idempotency_key(connection, submission.tenant, key) is None:
            return None
    raise SubmissionInProgress(f"a batch with idempotency key {key!r} is being submitted by another process; try again")


def _refuse_if_different(known: Row, submission: Submission) -> None:
    given = {name: getattr(submission, name) for name in _COMPARED}
    stored = {**known, "callback_schedule": known["schedule"]}
    refuse_different(known, stored, {"definition": to_content(submission.definition), **given})


_COMPARED = ("callback_url", "batch_callback_url", "fallback_url", "callback_schedule", "fair_key", "weight")


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
    rows = digest.reading(validator.rows(given, known["id"], context.now))
    for chunk in chunks(rows):
        # Reported as in the first submission: an item of the same key is stored at another position.
        refuse_duplicates(context, known["id"], chunk, validator)
    if body is not None:
        body.finish()
    refuse_other_items(known, digest)
    validator.raise_if_refused()


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
        InvalidDefinition: the definition cannot be run.
        SubmissionInProgress: another process has just used the idempotency key.
        BacklogFull: the tenant has too many items that wait.
        EndpointOwned: a callback URL is at an endpoint of another tenant.
    """
    prepare(context, submission.definition)
    now = context.now()
    definition = submission.definition
    with context.database.write() as connection:
        _refuse_if_full(context, connection, submission.tenant)
        urls = submission.callback_url, submission.batch_callback_url, submission.fallback_url
        refuse_foreign(connection, urls, submission.tenant)
        definition_id = stored_definitions.store(
            connection,
            name=definition.name,
            version=definition.version,
            content=to_content(definition),
            stages=",".join(definition.stages),
            now=now,
        )
        row: Row = {
            "public_id": new_batch_id(),
            "definition_id": definition_id,
            "fair_key": submission.fair_key,
            "weight": submission.weight,
            "callback_url": submission.callback_url,
            "batch_callback_url": submission.batch_callback_url,
            "fallback_url": submission.fallback_url,
            "schedule": submission.callback_schedule,
            "idempotency_key": submission.idempotency_key,
            "tenant": submission.tenant,
            "body_digest": body_digest,
            "created_at": now,
        }
        try:
            batch_id = batches.add(connection, row)
        except IntegrityError as error:
            key = submission.idempotency_key
            if key is None or "idempotency_key" not in str(error.orig):
                raise
            message = f"idempotency key {key!r} was just used by another process; try again"
            raise SubmissionInProgress(message) from None
        submit_lease.take(context, connection, lease(batch_id))
    return batch_id, row["public_id"]


def _refuse_if_full(context: Context, connection: Connection, tenant: str) -> None:
    limit = context.settings.max_pending_items
    if limit is not None and (waiting := batches.count_waiting(connection, tenant)) > limit:
        raise BacklogFull(
            f"{waiting:,} items wait already, more than PIPELINE_MAX_PENDING_ITEMS={limit:,}; submit again when some "
            "are done"
        )
