"""What is submitted: the options of a batch, checked, and the row that they become."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from pipeline.batches import submit_lease
from pipeline.batches.idempotency import refuse_different
from pipeline.batches.sql import backlog, batches, exports
from pipeline.batches.sql import definitions as stored_definitions
from pipeline.batches.store_items import refuse_foreign
from pipeline.batches.submission_trace import trace_of
from pipeline.batches.submit_lease import SubmitLease
from pipeline.batches.validate import Rules
from pipeline.connections.export_targets import check_exports
from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.definitions import Definition, to_content
from pipeline.definitions.input_and_retry import input_mapping
from pipeline.domain import bounds
from pipeline.domain.alerts.guard import Guard, merged
from pipeline.domain.batch import BatchState
from pipeline.domain.ids import new_batch_id
from pipeline.domain.retry_schedule import check_schedule
from pipeline.domain.tenant import DEFAULT_TENANT
from pipeline.errors import BacklogFull, InvalidInput, SubmissionInProgress
from pipeline.guards.guards import add_guards
from pipeline.telemetry.traceparent import TraceContext


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
        exports: where all results are written to in bulk, see `domain.urls.export_target`.
        guards: against failures; one of the same name replaces that of the definition.
        is_local: whether a program on the database submits it, not somebody over HTTP: only such a one may name
            folders.
        caller: the span in which it is submitted.
        is_traced: whether a span is sent for the submission.
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
    exports: tuple[str, ...] = ()
    guards: tuple[Guard, ...] = ()
    is_local: bool = True
    caller: TraceContext | None = None
    is_traced: bool = False


@dataclass(frozen=True, slots=True)
class Submitted:
    """A batch that was accepted.

    Args:
        batch_id: its public id.
        row_id: the id of its row.
        total: number of items.
        is_new: False if the idempotency key was known.
        without_url: number of items without a value in `callback_url_field`.
        resumed_at: number of items that an interrupted submission had stored; 0: there was none.
    """

    batch_id: str
    row_id: int
    total: int
    is_new: bool
    without_url: int = 0
    resumed_at: int = 0


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
    items_url = _checked_url(context, submission, "callback_url")
    batch_url = _checked_url(context, submission, "batch_callback_url")
    fallback = _checked_url(context, submission, "fallback_url")
    if fallback is not None and fallback in (items_url, batch_url):
        raise InvalidInput("fallback_url is also a callback URL of the batch; give one that works when that one fails")
    if submission.callback_schedule is not None:
        check_schedule(submission.callback_schedule)
    return replace(
        submission,
        callback_url=items_url,
        batch_callback_url=batch_url,
        fallback_url=fallback,
        guards=merged(submission.definition.guard, submission.guards),
        exports=check_exports(
            submission.exports,
            context.connections,
            context.settings.allow_targets,
            tenant=submission.tenant,
            is_local=submission.is_local,
        ),
    )


def _checked_url(context: Context, submission: Submission, name: str) -> str | None:
    url: str | None = getattr(submission, name)
    return None if url is None else check_receiver(context, url, name=name, tenant=submission.tenant)


def check_receiver(context: Context, url: str, *, name: str, tenant: str = DEFAULT_TENANT) -> str:
    """Return the URL of a receiver of events in its normal form.

    Args:
        name: what messages call the URL.

    Raises:
        InvalidInput: nothing can be sent there, or it would be unsigned.
    """
    callback = context.destinations.for_tenant(tenant).check(url, name=name)
    if not context.settings.secrets and not callback.is_target:
        raise InvalidInput(
            "callbacks are signed, but PIPELINE_WEBHOOK_SECRET is not set; create one with `pipeline secret` and give "
            "it to the receiver"
        )
    return callback.url


def rules_of(context: Context, submission: Submission) -> Rules:
    """Return what each item of a submission must satisfy."""
    given = submission.definition.input
    return Rules(
        text_fields=given.text_fields,
        mapping=input_mapping(given),
        accepts_empty_text=given.empty == "accept",
        key_field=submission.key_field or given.key,
        callback_url_field=submission.callback_url_field,
        max_payload_bytes=context.settings.max_payload_bytes,
        destinations=context.destinations.for_tenant(submission.tenant),
        has_secret=bool(context.settings.secrets),
    )


def find_existing(context: Context, submission: Submission) -> Row | None:
    """Return the batch with the idempotency key of a submission; None if there is none.

    One whose submission was interrupted and can be resumed is not compared yet: it may be discarded.

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
        targets = () if row is None else tuple(exports.find_targets(connection, row["id"]))
    if row is None:
        return None
    row = {**row, "definition": content, "exports": targets}
    if is_resumable(row):
        return row
    # Until it is accepted, only one that is uploaded in parts knows its body.
    if row["state"] != "accepting" or row["body_digest"] is not None:
        refuse_other_options(row, submission)
        return row
    submit_lease.discard_abandoned(context)
    with context.database.read() as connection:
        if batches.find_by_idempotency_key(connection, submission.tenant, key) is None:
            return None
    raise SubmissionInProgress(f"a batch with idempotency key {key!r} is being submitted by another process; try again")


def is_resumable(batch: Row) -> bool:
    """Return whether the submission of a batch is under way or was interrupted, and can go on in the latter case."""
    return batch["state"] == BatchState.ACCEPTING and batch["cursor"] is not None


def refuse_other_options(known: Row, submission: Submission) -> None:
    """Compare the options of a submission with those of the batch that `find_existing` has found.

    Raises:
        IdempotencyMismatch: they differ.
    """
    given = {name: getattr(submission, name) for name in _COMPARED}
    stored = {**known, "callback_schedule": known["schedule"]}
    refuse_different(known, stored, {"definition": to_content(submission.definition), **given})


_COMPARED = (
    *("callback_url", "batch_callback_url", "fallback_url", "callback_schedule", "fair_key", "weight", "exports"),
)


class OpenBatch(NamedTuple):
    """A batch that takes items, and the lease under which they are written."""

    row_id: int
    public_id: str
    lease: SubmitLease


def open_batch(
    context: Context,
    submission: Submission,
    lease: Callable[[int], SubmitLease],
    *,
    body_digest: str | None = None,
    source: str | None = None,
) -> OpenBatch:
    """Store a batch without items, and take the lease on it.

    Args:
        lease: called with the row id.
        body_digest: of the request that opens it; None: not known yet.
        source: what its items are read from, as JSON, if the submission can be resumed.

    Raises:
        SubmissionInProgress, EndpointOwned: see `insert_batch`.
    """
    public_id = new_batch_id()
    with context.database.write() as connection:
        row_id = insert_batch(context, connection, submission, public_id, body_digest=body_digest, source=source)
        batch = OpenBatch(row_id, public_id, lease(row_id))
        submit_lease.take(context, connection, batch.lease)
    return batch


def admit(context: Context, connection: Connection, submission: Submission) -> None:
    """Refuse a new batch for what its items do not decide.

    Raises:
        BacklogFull: the tenant has too many items that wait.
        EndpointOwned: a callback URL is at an endpoint of another tenant.
    """
    refuse_if_full(context, connection, submission.tenant)
    urls = submission.callback_url, submission.batch_callback_url, submission.fallback_url
    refuse_foreign(connection, urls, submission.tenant)


def insert_batch(
    context: Context,
    connection: Connection,
    submission: Submission,
    public_id: str,
    *,
    body_digest: str | None = None,
    source: str | None = None,
    total: int | None = None,
) -> int:
    """Insert a batch in state `accepting`, with its definition. Return its row id.

    Args:
        body_digest: of the request that opens it; None: not known yet.
        source: what its items are read from, as JSON, if the submission can be resumed.
        total: number of items; None: not known yet.

    Raises:
        SubmissionInProgress: another process has just used the idempotency key.
        EndpointOwned: a callback URL is at an endpoint of another tenant.
    """
    now = context.now()
    admit(context, connection, submission)
    definition_id = store_definition(connection, submission.definition, now)
    stored = trace_of(context, submission, public_id, total).stored
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
        "body_digest": body_digest,
        "source": source,
        "traceparent": None if stored is None else str(stored),
        "created_at": now,
    }
    try:
        batch_id = batches.add(connection, row)
        exports.add(connection, batch_id, submission.exports, now)
        guards = merged(submission.definition.guard, submission.guards)
        add_guards(connection, batch_id, guards, by=context.actor, now=now)
        return batch_id
    except IntegrityError as error:
        key = submission.idempotency_key
        if key is None or "idempotency_key" not in str(error.orig):
            raise
        message = f"idempotency key {key!r} was just used by another process; try again"
        raise SubmissionInProgress(message) from None


def store_definition(connection: Connection, definition: Definition, now: datetime) -> int:
    """Store a definition unless it is stored already. Return its id."""
    return stored_definitions.store(
        connection,
        name=definition.name,
        version=definition.version,
        content=to_content(definition),
        stages=",".join(definition.stages),
        now=now,
    )


def refuse_if_full(context: Context, connection: Connection, tenant: str, *, except_batch: int | None = None) -> None:
    """Refuse further items of a tenant if too many wait.

    Args:
        except_batch: a batch that counts only once it is accepted: the one that they are of.

    Raises:
        BacklogFull: more wait than PIPELINE_MAX_PENDING_ITEMS allows.
    """
    limit = context.settings.max_pending_items
    if limit is not None and (waiting := backlog.count_waiting(connection, tenant, except_batch)) > limit:
        raise BacklogFull(
            f"{waiting:,} items wait already, more than PIPELINE_MAX_PENDING_ITEMS={limit:,}; submit again when some "
            "are done"
        )
