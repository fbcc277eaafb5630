"""Deliveries found by what people know of them, and what one waits for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from pipeline.batches.find import LAST, find_batch, find_item
from pipeline.batches.sql import batches, items
from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.database.tables import POSITIONS_PER_BATCH
from pipeline.delivery.rules.breaker import Breaker, BreakerState
from pipeline.delivery.rules.delivery import DeliveryState
from pipeline.delivery.rules.endpoint_state import Condition, EndpointState, condition
from pipeline.delivery.rules.health import Health
from pipeline.delivery.sql import search
from pipeline.delivery.sql.search import Conditions
from pipeline.domain.callback_url import parse
from pipeline.domain.ids import WEBHOOK_PREFIX, split_webhook_id
from pipeline.errors import InvalidInput, NotFound

#: Larger numbers are no ids of any database.
LARGEST_ID = 2**63 - 1
#: Deliveries of one webhook id that are named.
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which deliveries: those that every condition holds for.

    Args:
        batch: id, unique prefix of an id, or `last`.
        state: one of `DeliveryState`.
        endpoint: `https://host`, or any URL there.
        item: its id; or its key, in `batch` or else the last one.
        url: exactly this one.
        webhook_id: of an event, or of a bundle.
        since: owed since then, aware.
        before: only ids below.
    """

    batch: str | None = None
    state: str | None = None
    endpoint: str | None = None
    item: str | None = None
    url: str | None = None
    webhook_id: str | None = None
    since: datetime | None = None
    before: int | None = None


def newest(context: Context, wanted: Wanted, *, limit: int) -> list[Row]:
    """Return deliveries, newest first.

    Raises:
        NotFound: there is no such batch or item, or nothing has that webhook id.
        InvalidInput: the endpoint or URL is no URL, there is no such state, or the time has no zone.
    """
    known = [each.value for each in DeliveryState]
    if wanted.state is not None and wanted.state not in known:
        raise InvalidInput(f"no delivery is in a state {wanted.state!r}; states are {', '.join(known)}")
    if wanted.since is not None and wanted.since.tzinfo is None:
        raise InvalidInput(f"since is {wanted.since}, which has no time zone; give an aware datetime")
    with context.database.read() as connection:
        return search.newest(connection, _conditions(connection, wanted), limit)


def number(context: Context, name: str | int) -> int:
    """Return the number of the delivery that its number, or the webhook id of its event or bundle, names.

    Raises:
        NotFound: there is none.
        InvalidInput: it is neither a number nor a webhook id, or several deliveries have that webhook id.
    """
    text = str(name)
    if text.isascii() and text.isdigit():
        if not 1 <= int(text) <= LARGEST_ID:
            raise NotFound(f"there is no delivery {text}; `pipeline deliveries list` lists them")
        return int(text)
    if not text.startswith(WEBHOOK_PREFIX):
        raise InvalidInput(
            f"{text!r} names no delivery; give its number, as `pipeline deliveries list` has it, or its webhook id "
            f"({WEBHOOK_PREFIX}…)"
        )
    found = [str(row["id"]) for row in newest(context, Wanted(webhook_id=text), limit=_NAMED + 1)]
    if len(found) == 1:
        return int(found[0])
    named = ", ".join(found[:_NAMED]) + (" and more" if len(found) > _NAMED else "")
    raise InvalidInput(
        f"{text} is the webhook id of several deliveries: {named}; give one of the numbers, or "
        f"`pipeline deliveries list --webhook-id {text}`"
    )


def waits_for(context: Context, row: Row) -> Condition | None:
    """Return the condition of its endpoint for which a delivery waits; None where it waits for nothing but its time."""
    if row["state"] not in (DeliveryState.PENDING, DeliveryState.PAUSED) or row["breaker"] is None:
        return None
    disabled = None if row["disabled_at"] is None else (row["disabled_at"], row["disabled_reason"])
    breaker = Breaker(state=BreakerState(row["breaker"]), open_until=row["open_until"])
    found = condition(Health(breaker=breaker, not_before=row["not_before"]), context.now(), disabled=disabled)
    return None if found.state is EndpointState.OK else found


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many deliveries are pending or under way, and when the next pending one is due."""

    number: int
    under_way: int
    next_due_at: datetime | None

    def is_due_within(self, now: datetime, seconds: float) -> bool:
        """Say whether one is under way, or due soon enough."""
        return bool(self.under_way) or (
            self.next_due_at is not None and (self.next_due_at - now).total_seconds() <= seconds
        )


def waiting(context: Context) -> Waiting:
    """Return how much is still to be sent, of all batches; what is paused is not."""
    with context.database.read() as connection:
        return Waiting(*search.waiting(connection))


def _conditions(connection: Connection, wanted: Wanted) -> Conditions:
    batch_id = None if wanted.batch is None else find_batch(connection, wanted.batch)["id"]
    item_id = None if wanted.item is None else _item(connection, wanted.item, wanted.batch)
    bundle_id, of_batch, seq = _named_by(connection, wanted.webhook_id)
    batches_wanted = {each for each in (batch_id, of_batch, item_id and item_id // POSITIONS_PER_BATCH) if each}
    return Conditions(
        batch_ids=tuple(sorted(batches_wanted)),
        state=wanted.state,
        origin=None if wanted.endpoint is None else parse(wanted.endpoint, name="the endpoint").origin,
        item_id=item_id,
        url=None if wanted.url is None else parse(wanted.url, name="the URL").url,
        bundle_id=bundle_id,
        seq=seq,
        since=wanted.since,
        before=wanted.before,
    )


def _item(connection: Connection, name: str, batch: str | None) -> int:
    try:
        found = find_item(connection, name)
    except NotFound:
        # Keys may look like ids: T-0001.
        found = None
    if found is not None:
        return int(found[1]["id"])
    row = find_batch(connection, batch or LAST)
    position = items.positions_of_keys(connection, row["id"], [name]).get(name)
    if position is None:
        raise NotFound(f"there is no item {name!r} in batch {row['public_id']}; give its id, or its key and its batch")
    return int(row["id"] * POSITIONS_PER_BATCH + position)


def _named_by(connection: Connection, webhook_id: str | None) -> tuple[int | None, int | None, int | None]:
    """Return which bundle, or else which batch and event, has a webhook id."""
    if webhook_id is None:
        return None, None, None
    bundle_id = search.bundle(connection, webhook_id)
    if bundle_id is not None:
        return bundle_id, None, None
    split = split_webhook_id(webhook_id)
    found = [] if split is None else batches.by_prefix(connection, split[0])
    of_batch = [row["id"] for row in found if split is not None and row["public_id"] == split[0]]
    if split is None or not of_batch:
        raise NotFound(f"no delivery has the webhook id {webhook_id!r}; `pipeline deliveries list` lists them")
    return None, of_batch[0], split[1]
