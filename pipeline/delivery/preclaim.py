"""Preclaimed deliveries: inserted as `sending`, already claimed by the sender of this process.

They are sent from memory after the commit, without being found, claimed and read. Only endpoints without trouble and
without settings that a claim has to weigh get them, and only as many as the sender has slots or places in memory for.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from sqlalchemy import Connection

from pipeline.database.row import Row
from pipeline.database.transaction_end import TransactionEnd
from pipeline.delivery.admission import is_unrestricted
from pipeline.delivery.rules.credentials import Credentials, Sealed
from pipeline.delivery.rules.delivery import Owed
from pipeline.delivery.sql import endpoints, owe
from pipeline.domain.ids import webhook_id
from pipeline.hooks import Happening

#: Larger bodies are read back by a claim, so that slots also bound the memory of requests in flight.
MOST_BYTES = 64 * 1024


class DueDelivery(NamedTuple):
    """A delivery to insert: an event, and one URL that it is owed to."""

    event: Happening
    url: str
    origin: str


class DeliverySlots(Protocol):
    """The slots and places of this process's sender."""

    @property
    def worker(self) -> str:
        """The name that holds the leases."""

    def lease_until(self) -> datetime:
        """Return the end of a lease that begins now."""

    def open_credentials(self, sealed: Sealed) -> Credentials | None:
        """Return an endpoint's credentials; None if this process cannot decrypt them."""

    def offered(self, origins: Iterable[str]) -> list[str]:
        """Return the endpoints at which there may be places; none if the sender does not run."""

    def reserve(self, waiting: Sequence[tuple[str, int | None]], wanted: Mapping[str, Sequence[int]]) -> dict[str, int]:
        """Reserve places for requests; see `QueuePlaces.reserve`."""

    def give_back(self, granted: Mapping[str, int], size: int) -> None:
        """Free reserved places, and `size` bytes of bodies: the transaction was rolled back."""

    def hand_back(self, origins: Collection[str]) -> None:
        """Make requests pending that still wait for these endpoints: a claim has to decide on them."""

    def unheard(self, granted: Mapping[str, int], size: int, requests: Sequence[Owed], until: datetime) -> None:
        """Free reserved places, and make the deliveries pending if they exist: the commit's answer was lost."""

    def note_backlog(self, origins: Collection[str]) -> None:
        """Note endpoints that get pending deliveries, before the commit."""

    def committed(self, requests: Sequence[Owed], until: datetime, pending: Collection[str]) -> None:
        """Send preclaimed deliveries whose lease runs until then, and wake the sender if others are pending.

        Waits a moment if the sender falls behind at endpoints that answer quickly.

        Args:
            pending: endpoints that have got pending deliveries.
        """


def add_deliveries(
    connection: Connection, end: TransactionEnd, due: Sequence[DueDelivery], now: datetime, slots: DeliverySlots
) -> None:
    """Insert deliveries of one batch: preclaimed as far as there are places, the others pending."""
    known = _unrestricted(connection, slots, now, {each.origin for each in due})
    wanted: dict[str, list[int]] = defaultdict(list)
    for each in due:
        if each.origin in known and len(each.event.body) <= MOST_BYTES:
            wanted[each.origin].append(len(each.event.body))
    granted = slots.reserve([(origin, known[origin].cap) for origin in wanted], wanted) if wanted else {}
    claimed, pending = _divide(due, granted)
    requests: list[Owed] = []
    size = sum(len(each.event.body) for each in claimed)
    until, waiting = slots.lease_until(), {each.origin for each in pending}
    # Before anything that may fail.
    end.call(
        commit=lambda: slots.committed(requests, until, waiting),
        rollback=lambda: slots.give_back(granted, size),
        unknown=lambda: slots.unheard(granted, size, requests, until),
    )
    batch_row = due[0].event.batch_row
    if pending:
        slots.note_backlog(waiting)
        owe.add_deliveries(connection, batch_row, [_row(each) for each in pending], now)
    if claimed:
        rows = [_row(each) for each in claimed]
        ids = owe.add_claimed(connection, batch_row, rows, now, worker=slots.worker, lease_until=until)
        requests += [_owed(each, ids[each.event.seq, each.url], known[each.origin], now, until) for each in claimed]


class _Endpoint(NamedTuple):
    """What an endpoint adds to a request."""

    cap: int | None = None
    schedule: str | None = None
    credentials: Credentials | None = None


def _unrestricted(
    connection: Connection, slots: DeliverySlots, now: datetime, origins: Collection[str]
) -> dict[str, _Endpoint]:
    """Return the endpoints that may get preclaimed deliveries."""
    offered = sorted({*slots.offered(origins)})
    if not offered:
        return {}
    found = {row["origin"]: row for row in endpoints.find_settings(connection, offered)}
    known = {origin: _endpoint(found.get(origin), slots, now) for origin in offered}
    restricted = [origin for origin, endpoint in known.items() if endpoint is None]
    if restricted:
        slots.hand_back(restricted)
    return {origin: endpoint for origin, endpoint in known.items() if endpoint is not None}


def _endpoint(row: Row | None, slots: DeliverySlots, now: datetime) -> _Endpoint | None:
    if row is None:
        return _Endpoint()
    if not is_unrestricted(row, now):
        return None
    credentials = None
    if row["secrets"] or row["headers"]:
        credentials = slots.open_credentials(Sealed(row["origin"], row["secrets"], row["headers"]))
        if credentials is None:
            return None
    return _Endpoint(row["in_flight_cap"], row["schedule"], credentials)


def _divide(due: Sequence[DueDelivery], granted: Mapping[str, int]) -> tuple[list[DueDelivery], list[DueDelivery]]:
    left = Counter(granted)
    claimed, pending = [], []
    for each in due:
        if left[each.origin] > 0 and len(each.event.body) <= MOST_BYTES:
            left[each.origin] -= 1
            claimed.append(each)
        else:
            pending.append(each)
    return claimed, pending


def _row(due: DueDelivery) -> Row:
    return {"seq": due.event.seq, "url": due.url, "origin": due.origin}


def _owed(due: DueDelivery, id_: int, endpoint: _Endpoint, now: datetime, until: datetime) -> Owed:
    event = due.event
    return Owed(
        id=id_,
        url=due.url,
        origin=due.origin,
        attempt=1,
        webhook_id=webhook_id(event.public_id, event.seq),
        body=event.body,
        created_at=now,
        schedule=endpoint.schedule or event.schedule,
        credentials=endpoint.credentials,
        is_preclaimed=True,
        in_flight_cap=endpoint.cap,
        lease_until=until,
    )
