"""Accept a batch: all of its items or none, streamed, so that memory stays flat."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from pipeline.definitions import Definition
from pipeline.domain.callback import check_callback_url
from pipeline.domain.identity import new_batch_id
from pipeline.errors import Conflict, InvalidInput
from pipeline.log import get_logger
from pipeline.services.acceptance import Acceptance, Given, OnReject, Rules
from pipeline.services.context import Context
from pipeline.services.holder import certainly_dead, new_holder
from pipeline.storage import batches, items, leases
from pipeline.storage import definitions as stored_definitions
from pipeline.storage.row import Row

log = get_logger(__name__)

#: Items written in one transaction: another writer waits no longer than for one of these.
CHUNK = 5_000

#: Told how many items are stored so far.
OnProgress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Submission:
    """What to do with the items of a batch.

    Args:
        definition: which classifier, which enrichers.
        callback_url: receives every item's event.
        batch_callback_url: receives `batch.completed`.
        idempotency_key: the caller's name for this submission; a second one with the same key changes nothing.
        fair_key: batches of one key share what a key gets.
        weight: how much this batch gets, beside others.
        key_field: payload field that holds the caller's key; default: the definition's.
        callback_url_field: payload field that holds the item's own callback URL.
    """

    definition: Definition
    callback_url: str | None = None
    batch_callback_url: str | None = None
    idempotency_key: str | None = None
    fair_key: str = ""
    weight: int = 1
    key_field: str | None = None
    callback_url_field: str | None = None


@dataclass(frozen=True, slots=True)
class Submitted:
    """The batch; `is_new` is False where the idempotency key was known."""

    batch_id: str
    total: int
    is_new: bool


def submit(
    context: Context,
    given: Iterable[Given],
    submission: Submission,
    *,
    on_reject: OnReject | None = None,
    on_progress: OnProgress | None = None,
) -> Submitted:
    """Store a batch and let it run.

    Args:
        given: items, or payloads; an iterator is read once.
        on_reject: told of each item that is refused; the others are accepted. Without it, one refused item refuses all.
        on_progress: told how many items are stored so far.

    Raises:
        InvalidItems: an item was refused, or there is none. Nothing is stored.
        InvalidInput: an option cannot be used.
    """
    submission = _checked(context, submission)
    existing = _existing(context, submission)
    if existing is not None:
        return existing
    batch_id, public_id = _open(context, submission)
    acceptance = Acceptance(_rules(context, submission), on_reject)
    try:
        with _kept_alive(context, batch_id):
            total = _store(context, batch_id, acceptance, given, on_progress)
        acceptance.raise_if_refused()
        if not total:
            raise acceptance.error("there is no item to accept")
    except BaseException:
        discard(context, batch_id)
        raise
    with context.database.write() as connection:
        _keep(context, connection, batch_id)
        batches.accept(connection, batch_id, total, context.now())
        leases.drop(connection, _lease(batch_id), context.worker)
    return Submitted(public_id, total, is_new=True)


def discard(context: Context, batch_id: int) -> None:
    """Remove a batch that was not accepted."""
    while True:
        with context.database.write() as connection:
            if not batches.discard(connection, batch_id, CHUNK):
                leases.forget(connection, _lease(batch_id))
                return


def discard_abandoned(context: Context) -> int:
    """Remove batches whose submitter died before the last item was there. Return how many."""
    with context.database.read() as connection:
        accepting = [row["id"] for row in batches.unfinished(connection) if row["state"] == "accepting"]
        dead = certainly_dead(leases.holders(connection)) if accepting else []
    abandoned = [batch_id for batch_id in accepting if _seize(context, batch_id, dead)]
    for batch_id in abandoned:
        discard(context, batch_id)
    return len(abandoned)


def _seize(context: Context, batch_id: int, dead: Sequence[str]) -> bool:
    """Take a submitter's lease where it is over, so that it cannot go on; False where the submitter lives or is done.

    The lease is only ever replaced, never made: a submitter drops it in the transaction that accepts the batch.
    """
    now = context.now()
    # A name of its own: the submitter may be a thread of this very process.
    sweeper = new_holder()
    with context.database.write() as connection:
        return leases.replace(connection, _lease(batch_id), sweeper, now=now, until=now + context.lease, dead=dead)


def _lease(batch_id: int) -> str:
    return f"submit:{batch_id}"


def _keep(context: Context, connection: Connection, batch_id: int) -> None:
    """Extend the submitter's lease, in the transaction that relies on it.

    Raises:
        Conflict: another process has taken it, and removes what was stored.
    """
    if not leases.extend(connection, _lease(batch_id), context.worker, until=context.now() + context.lease):
        raise Conflict(
            "another process gave this submission up, since it showed no sign of life for too long; nothing was "
            "accepted, submit it again"
        )


@contextmanager
def _kept_alive(context: Context, batch_id: int) -> Iterator[None]:
    """Extend the lease in the background: an input may be slow without its submitter being dead."""
    ended = threading.Event()

    def extend() -> None:
        while not ended.wait(context.lease.total_seconds() / 3):
            try:
                with context.database.write() as connection:
                    leases.extend(connection, _lease(batch_id), context.worker, until=context.now() + context.lease)
            except Exception:
                # The next turn tries again; whether the lease was kept is looked at where it counts.
                log.exception("submission_lease_not_extended", batch=batch_id)

    keeper = threading.Thread(target=extend, name="pipeline-submit", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        ended.set()
        keeper.join()


def _checked(context: Context, submission: Submission) -> Submission:
    if submission.weight < 1:
        raise InvalidInput(f"weight is {submission.weight}; it is a whole number from 1")
    items_url = _checked_url(context, submission.callback_url, "callback_url")
    batch_url = _checked_url(context, submission.batch_callback_url, "batch_callback_url")
    return replace(submission, callback_url=items_url, batch_callback_url=batch_url)


def _checked_url(context: Context, url: str | None, name: str) -> str | None:
    if url is None:
        return None
    callback = check_callback_url(url, context.settings.allow_private_callbacks, name=name)
    if not context.settings.secrets:
        raise InvalidInput(
            "callbacks are signed, and PIPELINE_WEBHOOK_SECRET is not set; make one with `pipeline secret`, and give "
            "it to the receiver as well"
        )
    return callback.url


def _rules(context: Context, submission: Submission) -> Rules:
    given = submission.definition.input
    return Rules(
        text_field=given.text,
        key_field=submission.key_field or given.key,
        callback_url_field=submission.callback_url_field,
        max_payload_bytes=context.settings.max_payload_bytes,
        allow_private=context.settings.allow_private_callbacks,
        has_secret=bool(context.settings.secrets),
    )


def _existing(context: Context, submission: Submission) -> Submitted | None:
    key = submission.idempotency_key
    if key is None:
        return None
    with context.database.read() as connection:
        row = batches.by_idempotency_key(connection, key)
    if row is None:
        return None
    if row["state"] != "accepting":
        return Submitted(row["public_id"], row["total"], is_new=False)
    discard_abandoned(context)
    with context.database.read() as connection:
        if batches.by_idempotency_key(connection, key) is None:
            return None
    raise Conflict(f"a batch with idempotency key {key!r} is being submitted right now by another process; try again")


def _open(context: Context, submission: Submission) -> tuple[int, str]:
    now = context.now()
    definition = submission.definition
    with context.database.write() as connection:
        definition_id = stored_definitions.keep(
            connection,
            name=definition.name,
            version=definition.version,
            content=definition.content(),
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
            "idempotency_key": submission.idempotency_key,
            "created_at": now,
        }
        try:
            batch_id = batches.add(connection, row)
        except IntegrityError:
            key = submission.idempotency_key
            raise Conflict(f"idempotency key {key!r} was taken by another process just now; try again") from None
        leases.take(connection, _lease(batch_id), context.worker, now=now, until=now + context.lease)
    return batch_id, row["public_id"]


def _store(
    context: Context,
    batch_id: int,
    acceptance: Acceptance,
    given: Iterable[Given],
    on_progress: OnProgress | None,
) -> int:
    total = 0
    rows = acceptance.rows(given, batch_id, context.now)
    while chunk := list(islice(rows, CHUNK)):
        # Once all will be refused, the rest is only read for its errors.
        if acceptance.will_refuse_all:
            continue
        with context.database.write() as connection:
            _keep(context, connection, batch_id)
            chunk = _without_duplicates(connection, batch_id, chunk, acceptance)
            if chunk:
                items.add(connection, chunk)
        total += len(chunk)
        if on_progress:
            on_progress(total)
    return total


def _without_duplicates(connection: Connection, batch_id: int, chunk: list[Row], acceptance: Acceptance) -> list[Row]:
    """Refuse items whose key an earlier one has."""
    first = items.positions_of_keys(connection, batch_id, [row["key"] for row in chunk if row["key"] is not None])
    kept = []
    for row in chunk:
        key = row["key"]
        if key is not None and first.setdefault(key, row["position"]) != row["position"]:
            acceptance.refuse(row["line"], f"its key {key!r} is the key of item {first[key]} as well")
        else:
            kept.append(row)
    return kept
