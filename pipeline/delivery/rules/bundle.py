"""Bundles: item events that travel to one URL in one request, and lanes: deliveries that travel one after another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import orjson

from pipeline.domain.event import instant

#: Type of a bundle, as receivers see it; its items are in whatever state their data says.
TYPE = "items.completed"
#: How long an item waits for company where the endpoint's row says nothing.
DEFAULT_WAIT = timedelta(seconds=1)
#: Body of a bundle. One item alone may be larger.
MOST_BYTES = 2**20

_FRAME_BYTES = len(b'{"type":"items.completed","timestamp":"2026-11-21T10:15:02.250000Z","data":[]}')
_DATA = b'"data":'


@dataclass(frozen=True, slots=True)
class BundleSettings:
    """How an endpoint wants item events: at most `items` in one request, each waiting for company at most `wait`.

    Without a number of items each event travels alone.
    """

    items: int | None = None
    wait: timedelta = timedelta(0)

    @classmethod
    def of(cls, coalesce_items: int | None, coalesce_ms: int | None) -> BundleSettings:
        """Return what an endpoint's row says."""
        if coalesce_items is None:
            return cls()
        return cls(coalesce_items, DEFAULT_WAIT if coalesce_ms is None else timedelta(milliseconds=coalesce_ms))


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery that may travel now.

    Args:
        bundle_id: the bundle that it is part of already.
        joins: it is an item's event that was never sent, so that it may travel with others.
        size: bytes of its event's body.
    """

    id: int
    url: str
    due_at: datetime
    bundle_id: int | None
    joins: bool
    size: int


@dataclass(slots=True)
class DueRequests:
    """What is to be sent, one request each, and when the next that waits for company need not wait any longer.

    Args:
        alone: ids of deliveries.
        bundles: ids of bundles that exist.
        together: the deliveries of new bundles, in their order.
    """

    alone: list[int] = field(default_factory=list)
    bundles: list[int] = field(default_factory=list)
    together: list[tuple[Due, ...]] = field(default_factory=list)
    next_at: datetime | None = None

    def __len__(self) -> int:
        return len(self.alone) + len(self.bundles) + len(self.together)

    def add(self, other: DueRequests) -> None:
        self.alone += other.alone
        self.bundles += other.bundles
        self.together += other.together
        if other.next_at is not None:
            self.wait_until(other.next_at)

    def wait_until(self, at: datetime) -> None:
        self.next_at = at if self.next_at is None else min(self.next_at, at)


class _Group:
    """Item events of one URL on their way into one request."""

    def __init__(self) -> None:
        self.members: list[Due] = []
        self.size = _FRAME_BYTES

    def takes(self, due: Due, company: BundleSettings) -> bool:
        """Say whether there is place for one more; there always is for the first."""
        fits = len(self.members) < (company.items or 1) and self.size + due.size <= MOST_BYTES
        return fits or not self.members

    def add(self, due: Due) -> None:
        self.members.append(due)
        self.size += due.size

    @property
    def waits_since(self) -> datetime:
        return min(due.due_at for due in self.members)


def gather(due: Iterable[Due], company: BundleSettings, now: datetime, most: int) -> DueRequests:
    """Make at most `most` requests of deliveries that are given in the order in which they became due."""
    requests, open_ = DueRequests(), dict[str, _Group]()
    for each in due:
        if len(requests) >= most:
            return requests
        if each.bundle_id is not None:
            if each.bundle_id not in requests.bundles:
                requests.bundles.append(each.bundle_id)
        elif company.items is None or not each.joins:
            requests.alone.append(each.id)
        else:
            _join(open_, each, company, requests)
    for group in open_.values():
        if len(requests) < most:
            _close(group, company, now, requests)
    return requests


def _join(open_: dict[str, _Group], due: Due, company: BundleSettings, requests: DueRequests) -> None:
    """Add a delivery to the group of its URL; one that has no place for it is sent off before."""
    group = open_.setdefault(due.url, _Group())
    if not group.takes(due, company):
        requests.together.append(tuple(group.members))
        group = open_[due.url] = _Group()
    group.add(due)


def lead(lane: Sequence[Due], company: BundleSettings, now: datetime) -> DueRequests:
    """Make the next request of a lane, given its first deliveries in order; none while that waits for company."""
    requests, first = DueRequests(), lane[0]
    if first.bundle_id is not None:
        requests.bundles.append(first.bundle_id)
        return requests
    if company.items is None or not first.joins:
        requests.alone.append(first.id)
        return requests
    group = _Group()
    for each in lane:
        if each.bundle_id is not None or not each.joins or each.url != first.url or each.due_at > now:
            # What follows cannot join, and must not be overtaken: there is nobody to wait for.
            requests.together.append(tuple(group.members))
            return requests
        if not group.takes(each, company):
            break
        group.add(each)
    _close(group, company, now, requests, is_cut=len(group.members) < len(lane))
    return requests


def _close(
    group: _Group, company: BundleSettings, now: datetime, requests: DueRequests, *, is_cut: bool = False
) -> None:
    """Send a group off if it is full, or has waited long enough."""
    until = group.waits_since + company.wait
    if is_cut or len(group.members) >= (company.items or 1) or until <= now:
        requests.together.append(tuple(group.members))
    else:
        requests.wait_until(until)


def body(created_at: datetime, bodies: Iterable[bytes]) -> bytes:
    """Return the body of a bundle: the data of each event byte for byte, in the order given."""
    frame = orjson.dumps({"type": TYPE, "timestamp": instant(created_at)})
    return frame[:-1] + b"," + _DATA + b"[" + b",".join(_data(each) for each in bodies) + b"]}"


def _data(event_body: bytes) -> bytes:
    # Cut out, not parsed and written again: numbers keep every digit. No name or time before it holds the word.
    return event_body[event_body.index(_DATA) + len(_DATA) : -1]
