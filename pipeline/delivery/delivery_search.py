"""Find deliveries, and explain what a delivery is waiting for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from pipeline.batches.find import find_batch, find_item
from pipeline.batches.sql import batches
from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.database.tables import POSITIONS_PER_BATCH
from pipeline.delivery.rules.breaker import Breaker, BreakerState
from pipeline.delivery.rules.delivery import DeliveryState
from pipeline.delivery.rules.endpoint_state import Condition, EndpointState, condition
from pipeline.delivery.rules.health import Health
from pipeline.delivery.sql import delivery_pages, search
from pipeline.delivery.sql.delivery_pages import PagePosition
from pipeline.delivery.sql.search import DeliveryFilters
from pipeline.domain.bounds import DELIVERY_ID, invalid, shown
from pipeline.domain.callback_url import parse_callback_url
from pipeline.domain.ids import WEBHOOK_PREFIX, is_batch_prefix, split_webhook_id
from pipeline.errors import InvalidInput, NotFound

#: Deliveries that one page looks at.
LOOKED_AT = 10_000
#: Digits of an id.
_MAX_DIGITS = 19
#: Deliveries with the same webhook id that an error lists.
_MAX_LISTED = 5


@dataclass(frozen=True, slots=True)
class Wanted:
    """A filter: deliveries that match every condition.

    Args:
        batch: id, unique prefix of an id, or `last`.
        state: one of `DeliveryState`.
        endpoint: `https://host`, or any URL there.
        item: an item's id, or its key in `batch` (default: the last batch).
        url: this exact URL.
        webhook_id: of an event or a bundle.
        since: created at or after this time, aware.
        before: return only ids below this; pass the last id of one page to get the next.
        tenant: only deliveries of its batches; None: of everybody's.
    """

    batch: str | None = None
    state: str | None = None
    endpoint: str | None = None
    item: str | None = None
    url: str | None = None
    webhook_id: str | None = None
    since: datetime | None = None
    before: int | None = None
    tenant: str | None = None


def newest(context: Context, wanted: Wanted, *, limit: int) -> list[Row]:
    """Return deliveries, newest first.

    Raises:
        NotFound: there is no such batch or item, or no delivery has that webhook id.
        InvalidInput: the endpoint or URL is not a URL, there is no such state, or the time has no zone.
    """
    _check(wanted)
    with context.database.read() as connection:
        return search.find_newest(connection, _conditions(connection, wanted), limit)


def page(
    context: Context, wanted: Wanted, *, after: PagePosition | None, limit: int
) -> tuple[list[Row], PagePosition | None]:
    """Return deliveries, newest first, and where to go on; None: there are no more.

    At most `LOOKED_AT` are looked at: a page may be short, or empty, although the list goes on.

    Args:
        after: where the page before ended.
        limit: of the page.

    Raises:
        NotFound, InvalidInput: see `newest`.
    """
    _check(wanted)
    with context.database.read() as connection:
        conditions = _conditions(connection, wanted)
        return delivery_pages.find_page(connection, conditions, after=after, limit=limit, look_at=LOOKED_AT)


def _check(wanted: Wanted) -> None:
    known = [each.value for each in DeliveryState]
    if wanted.state is not None and wanted.state not in known:
        raise InvalidInput(f"there is no delivery state {wanted.state!r}; choose from {', '.join(known)}")
    if wanted.since is not None and wanted.since.tzinfo is None:
        raise InvalidInput(f"since is {wanted.since}, which has no time zone; give an aware datetime")


def number(context: Context, name: str | int, *, tenant: str | None = None) -> int:
    """Return the id of the delivery with this id, or with the webhook id of its event or bundle.

    Args:
        tenant: only deliveries of its batches are found by a webhook id; None: everybody's.

    Raises:
        NotFound: there is no such delivery.
        InvalidInput: `name` is neither an id nor a webhook id, or several deliveries have that webhook id.
    """
    text = check_name(name)
    if text.isdigit():
        return int(text)
    found = [str(row["id"]) for row in newest(context, Wanted(webhook_id=text, tenant=tenant), limit=_MAX_LISTED + 1)]
    if len(found) == 1:
        return int(found[0])
    if not found:
        raise NotFound(f"no delivery has the webhook id {shown(text)}; `pipeline deliveries list` lists them")
    named = ", ".join(found[:_MAX_LISTED]) + (" and more" if len(found) > _MAX_LISTED else "")
    raise InvalidInput(
        f"{text} belongs to several deliveries: {named}; give one of these ids, or run "
        f"`pipeline deliveries list --webhook-id {text}`"
    )


def check_name(name: str | int) -> str:
    """Return what may be the id of a delivery, or a webhook id, as text.

    Raises:
        NotFound: there is no delivery with such an id.
        InvalidInput: it is neither.
    """
    if not isinstance(name, str | int) or isinstance(name, bool):
        raise invalid("name", name, f"the id of a delivery, or a webhook id ({WEBHOOK_PREFIX}…)")
    # Python refuses to write thousands of digits.
    text = name if isinstance(name, str) else shown(name)
    if text.isascii() and text.isdigit():
        # The length first: Python refuses to parse thousands of digits.
        if len(text) > _MAX_DIGITS or not 1 <= int(text) <= DELIVERY_ID.most:
            raise NotFound(f"there is no delivery {text[:40]}; `pipeline deliveries list` lists them")
        return text
    if not text.startswith(WEBHOOK_PREFIX):
        raise InvalidInput(
            f"{shown(text)} is not a delivery; give its id from `pipeline deliveries list`, or its webhook id "
            f"({WEBHOOK_PREFIX}…)"
        )
    return text


def waits_for(context: Context, row: Row) -> Condition | None:
    """Return the state of the endpoint that a delivery is waiting for; None if it only waits for its due time."""
    if row["state"] not in (DeliveryState.PENDING, DeliveryState.PAUSED) or row["breaker"] is None:
        return None
    disabled = None if row["disabled_at"] is None else (row["disabled_at"], row["disabled_reason"])
    breaker = Breaker(state=BreakerState(row["breaker"]), open_until=row["open_until"])
    found = condition(Health(breaker=breaker, not_before=row["not_before"]), context.now(), disabled=disabled)
    return None if found.state is EndpointState.OK else found


@dataclass(frozen=True, slots=True)
class Waiting:
    """Number of pending deliveries and of deliveries in flight, and when the next pending one is due."""

    number: int
    under_way: int
    next_due_at: datetime | None

    def is_due_within(self, now: datetime, seconds: float) -> bool:
        """Return whether a delivery is in flight, or due within `seconds`."""
        return bool(self.under_way) or (
            self.next_due_at is not None and (self.next_due_at - now).total_seconds() <= seconds
        )


def waiting(context: Context) -> Waiting:
    """Return what is still to be sent, over all batches. Paused deliveries do not count."""
    with context.database.read() as connection:
        return Waiting(*search.count_waiting(connection))


def _conditions(connection: Connection, wanted: Wanted) -> DeliveryFilters:
    batch_id = None if wanted.batch is None else find_batch(connection, wanted.batch)["id"]
    item_id = None if wanted.item is None else _item(connection, wanted.item, wanted.batch)
    bundle_id, of_batch, seq = _named_by(connection, wanted.webhook_id)
    batches_wanted = {each for each in (batch_id, of_batch, item_id and item_id // POSITIONS_PER_BATCH) if each}
    return DeliveryFilters(
        batch_ids=tuple(sorted(batches_wanted)),
        state=wanted.state,
        origin=None if wanted.endpoint is None else parse_callback_url(wanted.endpoint, name="the endpoint").origin,
        item_id=item_id,
        url=None if wanted.url is None else parse_callback_url(wanted.url, name="the URL").url,
        bundle_id=bundle_id,
        seq=seq,
        since=wanted.since,
        before=wanted.before,
        tenant=wanted.tenant,
    )


def _item(connection: Connection, name: str, batch: str | None) -> int:
    found = find_item(connection, name, batch)
    if found is None:
        raise NotFound(f"there is no item {shown(name)}; give the item's id, or its key and its batch")
    return int(found[1]["id"])


def _named_by(connection: Connection, webhook_id: str | None) -> tuple[int | None, int | None, int | None]:
    """Return the bundle id, batch row and seq that a webhook id names; None for those it does not name."""
    if webhook_id is None:
        return None, None, None
    bundle_id = search.find_bundle(connection, webhook_id)
    if bundle_id is not None:
        return bundle_id, None, None
    split = split_webhook_id(webhook_id)
    found = batches.find_by_prefix(connection, split[0]) if split is not None and is_batch_prefix(split[0]) else []
    of_batch = [row["id"] for row in found if split is not None and row["public_id"] == split[0]]
    if split is None or not of_batch:
        raise NotFound(f"no delivery has the webhook id {shown(webhook_id)}; `pipeline deliveries list` lists them")
    return None, of_batch[0], split[1]
