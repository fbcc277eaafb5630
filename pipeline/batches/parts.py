"""Upload a batch in parts: in any order, in parallel, each all or none, and accepted once all of them are there.

Part n owns a range of positions, so parts need no common lock. A part is stored when its row is: until then, its
writer has a lease, and whoever comes after a writer that died deletes the range first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from sqlalchemy import Connection

from pipeline.batches import submit_lease
from pipeline.batches.idempotency import BodyDigest, SubmittedBody, refuse_other_body
from pipeline.batches.part_errors import ItemsMismatch, NotAccepting, PartDiffers, PartInProgress, PartsMissing
from pipeline.batches.prepare import prepare
from pipeline.batches.sql import backlog, batches, parts
from pipeline.batches.sql import definitions as stored_definitions
from pipeline.batches.store_items import ItemChunks, ItemStore
from pipeline.batches.streamed.resume import find_known
from pipeline.batches.streamed.submit_streamed import check_stored
from pipeline.batches.submission import Submission, Submitted, checked, open_batch, refuse_if_full, rules_of
from pipeline.batches.submit_lease import SubmitLease
from pipeline.batches.validate import Given, ItemValidator, OnReject
from pipeline.context import Context
from pipeline.database import leases
from pipeline.database.lease_holder import certainly_dead, new_holder
from pipeline.database.retry import TRANSIENT_ERRORS, retrying
from pipeline.database.row import Row
from pipeline.definitions import from_content
from pipeline.domain.batch import BatchState
from pipeline.domain.bounds import WholeNumber
from pipeline.errors import BacklogFull, Conflict, DatabaseFull, InvalidInput, NoItems, Unreachable

#: Bytes of a part, both as it is sent and decompressed.
MAX_PART_BYTES = 64 * 1024 * 1024
#: Items of a part: the positions that it owns.
MAX_PART_ITEMS = 1_000_000
#: Numbers of parts. All of their positions fit into the ids of a batch's items.
NUMBER = WholeNumber(1, 4_000)
#: Batches of a tenant that take parts at the same time. Each is kept for a day.
MAX_OPEN = 1_000
#: Missing parts that are listed.
_LISTED = 100


@dataclass(frozen=True, slots=True)
class BatchPart:
    """A part that is stored.

    Args:
        number: from 1; the order of the items.
        sha256: of its body as it was sent.
        bytes: of its body as it was sent.
    """

    number: int
    sha256: str
    bytes: int
    items: int
    rejected: int
    created_at: datetime


def open_upload(context: Context, submission: Submission, body: SubmittedBody) -> Submitted:
    """Store a batch whose items come in parts.

    Args:
        body: of the request that says so.

    Raises:
        IdempotencyMismatch: the idempotency key belongs to another submission.
        InvalidDefinition, InvalidInput, BacklogFull, EndpointOwned: see `submit`.
    """
    submission = checked(context, submission)
    known, _ = find_known(context, submission)
    if known is not None:
        refuse_other_body(known, body)
        return Submitted(known["public_id"], known["id"], known["total"], is_new=False)
    prepare(context, submission.definition)
    with context.database.read() as connection:
        is_full = backlog.count_accepting(connection, submission.tenant, MAX_OPEN) >= MAX_OPEN
    if is_full:
        raise BacklogFull(f"{MAX_OPEN:,} batches take parts already; seal some, or DELETE those that are not needed")
    batch = open_batch(context, submission, submit_lease.of_parts, body_digest=str(body.finish()))
    return Submitted(batch.public_id, batch.row_id, 0, is_new=True)


def submission_of(
    context: Context, batch: Row, *, key_field: str | None = None, callback_url_field: str | None = None
) -> Submission:
    """Return how the items of a part are read.

    Args:
        batch: its row.

    Raises:
        InvalidInput: the name of a field cannot be used.
    """
    with context.database.read() as connection:
        content = stored_definitions.load_content(connection, batch["definition_id"])
    submission = Submission(
        from_content(content),
        key_field=key_field,
        callback_url_field=callback_url_field,
        tenant=batch["tenant"],
    )
    return checked(context, submission)


def put_part(
    context: Context,
    batch: Row,
    number: int,
    given: Iterable[Given],
    submission: Submission,
    body: SubmittedBody,
    *,
    on_reject: OnReject | None = None,
    replace: bool = False,
) -> tuple[BatchPart, bool]:
    """Store a part, all of its items or none. Return it, and whether it is new.

    Args:
        batch: its row.
        submission: how its items are read; see `submission_of`.
        on_reject: called with each refused item, while the others are accepted. Without it, one refused item refuses
            the part.
        replace: whether a part of this number that differs is replaced. If this one is refused, neither is there.

    Raises:
        InvalidItems: an item was refused, or there are none. Nothing of the part is stored.
        NotAccepting: the batch takes no more parts.
        PartDiffers: another part of this number is stored.
        PartInProgress: another request is writing a part of this number.
        BacklogFull: too many items of the tenant's other batches wait.
    """
    NUMBER.check("number", number)
    known = _find(context, batch, number)
    if known is not None and not replace:
        return _same(known, body), False
    lease = submit_lease.of_part(batch["id"], number)
    if not retrying(partial(_begin, context, batch, number, lease, replace), patience=context.lease):
        # Another request has stored it in the meantime.
        return put_part(context, batch, number, given, submission, body, on_reject=on_reject)
    try:
        with submit_lease.kept_alive(context, lease):
            row = _store(context, batch, number, given, submission, body, on_reject)
            retrying(partial(_finish, context, batch, row, lease), patience=context.lease)
    except TRANSIENT_ERRORS as error:
        # The lease ends by itself, and the next upload of the part deletes what is stored of this one.
        kind = DatabaseFull if isinstance(error, DatabaseFull) else Unreachable
        raise kind(f"{error}; part {number} is not stored; send it again") from error
    except BaseException:
        _clear(context, batch["id"], number)
        with context.database.write() as connection:
            submit_lease.drop(connection, lease)
        raise
    return _part(row), True


def list_parts(context: Context, batch_id: int) -> list[BatchPart]:
    """Return the parts of a batch that are stored, in their order."""
    with context.database.read() as connection:
        return [_part(row) for row in parts.find_all(connection, batch_id)]


def expires_at(context: Context, batch_id: int) -> datetime | None:
    """Return when a batch is given up unless a part comes before; None if it takes no parts."""
    with context.database.read() as connection:
        return submit_lease.ends_of_parts(connection, [batch_id]).get(batch_id)


def seal(context: Context, batch: Row, number: int, items: int | None = None) -> bool:
    """Accept a batch that consists of the parts 1 to `number`. Return False if it was accepted before.

    Args:
        batch: its row.
        items: how many items it should have; None: any number.

    Raises:
        NotAccepting: it was not uploaded in parts.
        NoItems: it has no part.
        PartsMissing: a part is missing.
        PartInProgress: a part is being written.
        ItemsMismatch: it has more parts, or another number of items.
    """
    _clear_dead(context, batch["id"])
    return retrying(partial(_seal, context, batch, number, items), patience=context.lease)


def give_up(context: Context, batch: Row) -> None:
    """Remove a batch that still takes parts.

    Raises:
        NotAccepting: it takes none.
    """
    # What is being written notices at its next transaction.
    if not submit_lease.seize(context, batch["id"], [submit_lease.PARTS]):
        raise _not_accepting(batch)
    submit_lease.discard(context, batch["id"])


def _find(context: Context, batch: Row, number: int) -> Row | None:
    lease = submit_lease.of_parts(batch["id"])
    with context.database.read() as connection:
        if not parts.is_held(connection, *lease):
            raise _not_accepting(batch)
        return parts.find(connection, batch["id"], number)


def _same(known: Row, body: SubmittedBody) -> BatchPart:
    given = body.digest_of_repetition()
    different = [] if given is None else BodyDigest.parse(known["sha256"]).differences(given)
    if different:
        raise PartDiffers(
            f"part {known['number']} is stored already, with another {' and '.join(different)}; "
            "replace=true replaces it until the batch is sealed"
        )
    return _part(known)


def _begin(context: Context, batch: Row, number: int, lease: SubmitLease, replace: bool) -> bool:
    """Take the lease on a part. Return False if the part was stored in the meantime."""
    with context.database.write() as connection:
        refuse_if_full(context, connection, batch["tenant"], except_batch=batch["id"])
        _extend(context, connection, batch)
        dead = certainly_dead(leases.find_holders(connection))
        if not submit_lease.take(context, connection, lease, dead=dead):
            raise PartInProgress(f"part {number} is being written by another request; send it again")
        if parts.find(connection, batch["id"], number) is None:
            return True
        if not replace:
            submit_lease.drop(connection, lease)
            return False
        parts.remove(connection, batch["id"], number)
        return True


def _store(
    context: Context,
    batch: Row,
    number: int,
    given: Iterable[Given],
    submission: Submission,
    body: SubmittedBody,
    on_reject: OnReject | None,
) -> Row:
    """Write the items of a part. Return the row that makes it stored."""
    _clear(context, batch["id"], number)
    validator = ItemValidator(rules_of(context, submission), on_reject, all_or_none=on_reject is None)
    store = ItemStore(context, batch["id"], validator, partial(_check_open, batch), batch["tenant"])
    rows = validator.rows(_bounded(given), context.now, after=_range(number)[0])
    total = store.write(ItemChunks(rows))
    digest = body.finish()
    check_stored(validator, total)
    return {
        "batch_id": batch["id"],
        "number": number,
        "sha256": str(digest),
        "bytes": body.size,
        "items": total,
        "rejected": validator.rejected,
        "created_at": context.now(),
    }


def _check_open(batch: Row, connection: Connection) -> None:
    # Shared: parts are written in parallel, and only sealing and giving up wait for them.
    if not parts.is_held(connection, *submit_lease.of_parts(batch["id"]), lock=True):
        raise _not_accepting(batch)


def _extend(context: Context, connection: Connection, batch: Row) -> None:
    try:
        submit_lease.keep(context, connection, submit_lease.of_parts(batch["id"]))
    except Conflict:
        raise _not_accepting(batch) from None


def _finish(context: Context, batch: Row, row: Row, lease: SubmitLease) -> None:
    with context.database.write() as connection:
        if parts.find(connection, batch["id"], row["number"]) is not None:
            # By the attempt before this one: the connection was lost during its commit.
            return
        _extend(context, connection, batch)
        submit_lease.keep(context, connection, lease)
        parts.add(connection, row)
        submit_lease.drop(connection, lease)


def _clear(context: Context, batch_id: int, number: int) -> None:
    """Delete the items of a part that is not stored."""
    after, last = _range(number)

    def step() -> int:
        with context.database.write() as connection:
            return parts.remove_items(connection, batch_id, after, last, submit_lease.CHUNK)

    while retrying(step, patience=context.lease):
        pass


def _clear_dead(context: Context, batch_id: int) -> None:
    """Delete what requests left of parts that they could not finish, because their process died."""
    prefix, now = submit_lease.prefix_of_parts(batch_id), context.now()
    with context.database.read() as connection:
        held = leases.find_by_prefix(connection, prefix)
    dead = certainly_dead(row["holder"] for row in held)
    for row in held:
        lease = SubmitLease(row["name"], new_holder())
        with context.database.write() as connection:
            until = now + context.lease
            is_taken = leases.take_over(connection, *lease, now=now, until=until, dead=dead)
        if is_taken:
            _clear(context, batch_id, int(row["name"].removeprefix(prefix)))
            with context.database.write() as connection:
                submit_lease.drop(connection, lease)


def _seal(context: Context, batch: Row, number: int, items: int | None) -> bool:
    batch_id = batch["id"]
    with context.database.write() as connection:
        if parts.any_exists(connection, batch_id) and batches.is_accepted(connection, batch_id):
            return False
        _extend(context, connection, batch)
        # Since the lease on the batch is locked, no part is begun before this transaction ends.
        if leases.find_by_prefix(connection, submit_lease.prefix_of_parts(batch_id)):
            raise PartInProgress("a part is being written; seal the batch when it is stored")
        found = parts.find_all(connection, batch_id)
        total = sum(row["items"] for row in found)
        _check_parts({row["number"] for row in found}, number)
        if items not in (None, total):
            raise ItemsMismatch(f"the parts have {total:,} items, not {items:,}; GET the parts to compare them")
        batches.accept(connection, batch_id, total, context.now())
        submit_lease.drop(connection, submit_lease.of_parts(batch_id))
        return True


def _check_parts(found: set[int], number: int) -> None:
    if not found:
        raise NoItems("the batch has no parts yet; PUT one")
    missing = sorted(set(range(1, number + 1)) - found)
    if missing:
        listed = ", ".join(map(str, missing[:_LISTED]))
        raise PartsMissing(f"{len(missing):,} of {number:,} parts are missing: {listed}", tuple(missing[:_LISTED]))
    if max(found) > number:
        raise ItemsMismatch(f"the batch has {len(found):,} parts, up to number {max(found)}, not {number:,}")


def _not_accepting(batch: Row) -> NotAccepting:
    if batch["state"] == BatchState.ACCEPTING:
        return NotAccepting(f"batch {batch['public_id']} is not uploaded in parts, or was sealed or given up just now")
    return NotAccepting(f"batch {batch['public_id']} takes no parts: it is {batch['state']}")


def _range(number: int) -> tuple[int, int]:
    """Return the position before the first one of a part, and its last one."""
    return (number - 1) * MAX_PART_ITEMS, number * MAX_PART_ITEMS


def _bounded(given: Iterable[Given]) -> Iterator[Given]:
    for count, each in enumerate(given, 1):
        if count > MAX_PART_ITEMS:
            raise InvalidInput(f"a part has at most {MAX_PART_ITEMS:,} items; send the rest as another part")
        yield each


def _part(row: Row) -> BatchPart:
    return BatchPart(
        number=row["number"],
        sha256=BodyDigest.parse(row["sha256"]).sha256,
        bytes=row["bytes"],
        items=row["items"],
        rejected=row["rejected"],
        created_at=row["created_at"],
    )
