"""Show and replay deliveries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from pipeline.batches.find import find_batch, pruned_meanwhile
from pipeline.context import Context
from pipeline.database.locks import lock_against_prune
from pipeline.database.row import Row
from pipeline.delivery.rules.delivery import DeliveryState
from pipeline.delivery.sql import attempts, endpoints, redeliver, search
from pipeline.delivery.sql.missing import MissingDeliveries, add_missing, count_missing, last_seq
from pipeline.delivery.sql.redeliver import Selection
from pipeline.domain.callback_url import parse_callback_url
from pipeline.domain.urls.target_url import has_placeholders
from pipeline.errors import Conflict, InvalidInput, NotFound

#: Deliveries, or events of a batch, processed in one transaction.
SPAN = 10_000
#: States that can be replayed in bulk. Unfinished deliveries are sent anyway.
FINAL = (DeliveryState.DEAD.value, DeliveryState.DELIVERED.value, DeliveryState.CANCELLED.value)


@dataclass(frozen=True, slots=True)
class Shown:
    """A delivery and its attempts, oldest attempt first."""

    delivery: Row
    attempts: list[Row]


def show(context: Context, delivery_id: int) -> Shown:
    """Return a delivery and its attempts.

    Raises:
        NotFound: there is no delivery with that id.
    """
    with context.database.read() as connection:
        row = _get(connection, delivery_id)
        return Shown(row, attempts.find(connection, delivery_id, row["bundle_id"]))


def counts(context: Context, batch: str) -> dict[str, int]:
    """Return the number of a batch's deliveries in each state."""
    with context.database.read() as connection:
        return search.count_by_state(connection, find_batch(connection, batch)["id"])


def count_due(context: Context, batch: str | None, *, limit: int) -> int:
    """Return how many deliveries of a batch, or of all, are due at endpoints that may be called; at most `limit`."""
    with context.database.read() as connection:
        batch_row = None if batch is None else find_batch(connection, batch)["id"]
        return search.count_due(connection, context.now(), batch_row, limit)


def of_item(context: Context, batch_row: int, item_row: int) -> list[Row]:
    """Return the deliveries of an item's events, in the order of the events."""
    with context.database.read() as connection:
        return search.find_by_item(connection, batch_row, item_row)


def replay(context: Context, delivery_id: int) -> Row:
    """Make a delivery pending again, due now, with the same webhook id and body. Return it.

    The requested attempt does not count against the schedule. If it fails, the schedule continues where it was, or the
    delivery is dead again if the schedule was exhausted. A delivery that ended in a bundle is sent by itself; if its
    bundle is still waiting, the whole bundle is sent now.

    Raises:
        NotFound: there is no delivery with that id.
        Conflict: it is being sent right now, or its endpoint is disabled, so that it would only be paused again.
    """
    with context.database.write() as connection:
        row = _get(connection, delivery_id)
        if row["disabled_reason"] is not None:
            raise Conflict(
                f"delivery {delivery_id} goes to {row['origin']}, which is disabled ({row['disabled_reason']}); "
                "enable the endpoint first"
            )
        if not lock_against_prune(connection, [row["batch_id"]]):
            raise pruned_meanwhile(row["public_id"])
        if not redeliver.replay(connection, row, context.now()):
            raise Conflict(f"delivery {delivery_id} is being sent right now; try again in a minute")
        return _get(connection, delivery_id)


def check_final(states: Sequence[str]) -> None:
    """Raise `InvalidInput` if deliveries in one of these states cannot be replayed in bulk."""
    unknown = [state for state in states if state not in FINAL]
    if unknown:
        raise InvalidInput(f"deliveries in state {unknown[0]!r} cannot be replayed; choose from {', '.join(FINAL)}")


def recover(
    context: Context,
    *,
    batch: str | None = None,
    origin: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    states: Sequence[str] = (DeliveryState.DEAD.value,),
    tenant: str | None = None,
    dry_run: bool = False,
) -> int:
    """Resend finished deliveries that match every filter. Return the number resent.

    Runs one transaction per ten thousand deliveries, so it can be interrupted and called again. Bundles are resent
    unchanged. Deliveries to disabled endpoints are left out.

    Args:
        batch: id, unique prefix of an id, or `last`.
        origin: the endpoint, `https://host` or any URL there.
        since: filters by the time a delivery finished, aware. Dead deliveries were given up then, up to four days
            after their event.
        until: likewise, exclusive.
        states: any of `dead`, `delivered` and `cancelled`.
        tenant: only deliveries of its batches; None: of everybody's.
        dry_run: only count.

    Raises:
        NotFound: there is no such batch, or the endpoint is unknown.
        InvalidInput: a state is not one of these, a time has no zone, `since` is after `until`, or the endpoint is not
            a URL.
    """
    chosen, last = _chosen(context, batch, origin, since, until, states)
    chosen = replace(chosen, tenant=tenant)

    def replay_span(connection: Connection, low: int, high: int) -> int:
        if dry_run:
            return redeliver.count_selected(connection, chosen, low, high)
        return redeliver.make_pending(connection, chosen, low, high, context.now())

    return _span_by_span(context, last, replay_span, dry_run=dry_run)


def left_out(
    context: Context,
    *,
    batch: str | None = None,
    origin: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    states: Sequence[str] = (DeliveryState.DEAD.value,),
    tenant: str | None = None,
) -> dict[str, int]:
    """Return the number of deliveries that `recover` leaves out because their endpoint is disabled, by endpoint."""
    chosen, last = _chosen(context, batch, origin, since, until, states)
    chosen = replace(chosen, tenant=tenant)
    with context.database.read() as connection:
        if not endpoints.is_any_disabled(connection):
            return {}
    found: Counter[str] = Counter()

    def count_span(connection: Connection, low: int, high: int) -> int:
        counts = redeliver.count_by_origin(connection, replace(chosen, of_disabled=True), low, high)
        found.update(counts)
        return sum(counts.values())

    _span_by_span(context, last, count_span, dry_run=True)
    return dict(sorted(found.items()))


def _chosen(
    context: Context,
    batch: str | None,
    origin: str | None,
    since: datetime | None,
    until: datetime | None,
    states: Sequence[str],
) -> tuple[Selection, int]:
    """Return the validated filter and the last position to search."""
    check_final(states)
    for name, at in (("since", since), ("until", until)):
        if at is not None and at.tzinfo is None:
            raise InvalidInput(f"{name} is {at}, which has no time zone; give an aware datetime")
    if since is not None and until is not None and since > until:
        raise InvalidInput(f"since is {since}, after until, {until}; swap them")
    endpoint = None if origin is None else parse_callback_url(origin, name="the endpoint").origin
    with context.database.read() as connection:
        batch_id = None if batch is None else find_batch(connection, batch)["id"]
        if endpoint is not None and not (endpoints.get(connection, endpoint) or search.has_any(connection, endpoint)):
            raise NotFound(
                f"no delivery was ever owed to {endpoint}; `pipeline endpoints list` lists the known endpoints"
            )
        chosen = Selection(tuple(states), batch_id, endpoint, since, until)
        return chosen, redeliver.last_position(connection, chosen)


def replay_missing(context: Context, url: str, batch: str, *, batch_events: bool = False, dry_run: bool = False) -> int:
    """Send to a URL the events of a batch that were never owed to it. Return their number.

    Can be called again: it writes only what is still missing.

    Args:
        batch_events: include `batch.completed`, not only the events of items.
        dry_run: only count.

    Raises:
        NotFound: there is no such batch.
        InvalidCallbackUrl, ForbiddenCallbackUrl: the URL cannot be called back.
    """
    callback = context.destinations.check(url, name="the URL")
    if has_placeholders(callback.url):
        raise InvalidInput("the URL contains a placeholder, so that it is not one URL; fill in what stands for it")
    with context.database.read() as connection:
        batch_id = find_batch(connection, batch)["id"]
        missing = MissingDeliveries(batch_id, callback.url, callback.origin, of_batch=batch_events)
        last = last_seq(connection, batch_id)

    def owe_span(connection: Connection, low: int, high: int) -> int:
        if dry_run:
            return count_missing(connection, missing, low, high)
        return add_missing(connection, missing, low, high, context.now())

    return _span_by_span(context, last, owe_span, dry_run=dry_run)


def _span_by_span(context: Context, last: int, work: Callable[[Connection, int, int], int], *, dry_run: bool) -> int:
    """Sum the results of `work` for each span of positions up to `last`, one transaction per span."""
    transaction = context.database.read if dry_run else context.database.write
    total = 0
    for low in range(1, last + 1, SPAN):
        with transaction() as connection:
            total += work(connection, low, low + SPAN)
    return total


def next_due_at(context: Context, batch: str) -> datetime | None:
    """Return when the next pending delivery of a batch is due; None if none is pending."""
    with context.database.read() as connection:
        return search.next_due_at(connection, find_batch(connection, batch)["id"])


def _get(connection: Connection, delivery_id: int) -> Row:
    row = search.get(connection, delivery_id)
    if row is None:
        raise NotFound(f"there is no delivery {delivery_id}; `pipeline deliveries list` lists them")
    return row
