"""Bundles: item events sent to one URL in one request. Lanes: deliveries sent one after another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import orjson

from pipeline.domain.event import format_timestamp

#: Event type of a bundle. The state of each item is in its data.
TYPE = "items.completed"
#: How long an event waits for others to join it, unless the endpoint says otherwise.
DEFAULT_WAIT = timedelta(seconds=1)
#: Maximum size of a bundle's body. A single item may be larger. Brokers take 1 MiB with headers and attributes.
MOST_BYTES, MOST_TARGET_BYTES = 2**20, 2**20 - 2**16

_FRAME_BYTES = len(b'{"type":"items.completed","timestamp":"2026-11-21T10:15:02.250000Z","data":[]}')
_DATA = b'"data":'


@dataclass(frozen=True, slots=True)
class BundleSettings:
    """How an endpoint bundles item events: at most `items` per request, each waiting at most `wait` for others.

    Without `items`, each event is sent by itself.
    """

    items: int | None = None
    wait: timedelta = timedelta(0)
    most_bytes: int = MOST_BYTES

    @classmethod
    def of(cls, coalesce_items: int | None, coalesce_ms: int | None, *, is_target: bool = False) -> BundleSettings:
        """Return the settings in an endpoint's row."""
        if coalesce_items is None:
            return cls()
        wait = DEFAULT_WAIT if coalesce_ms is None else timedelta(milliseconds=coalesce_ms)
        return cls(coalesce_items, wait, MOST_TARGET_BYTES if is_target else MOST_BYTES)


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery that may be sent now.

    Args:
        bundle_id: the bundle that it already belongs to.
        joins: whether it may join others: it is an item's event and was never sent.
        size: size of its event's body, in bytes.
    """

    id: int
    url: str
    due_at: datetime
    bundle_id: int | None
    joins: bool
    size: int


@dataclass(slots=True)
class DueRequests:
    """The requests to send now, and when the next waiting event has to be sent.

    Args:
        alone: ids of deliveries that are sent by themselves.
        bundles: ids of existing bundles.
        together: the deliveries of each new bundle, in order.
        next_at: when an event that waits for others must be sent; None if none waits.
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
    """Item events of one URL that are put into one request."""

    def __init__(self) -> None:
        self.members: list[Due] = []
        self.size = _FRAME_BYTES

    def takes(self, due: Due, company: BundleSettings) -> bool:
        """Return whether one more fits; the first always does."""
        fits = len(self.members) < (company.items or 1) and self.size + due.size <= company.most_bytes
        return fits or not self.members

    def add(self, due: Due) -> None:
        self.members.append(due)
        self.size += due.size

    @property
    def waits_since(self) -> datetime:
        return min(due.due_at for due in self.members)


def gather(due: Iterable[Due], company: BundleSettings, now: datetime, most: int) -> DueRequests:
    """Make at most `most` requests from deliveries, which are given in the order in which they became due."""
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
    """Add a delivery to the group of its URL; if the group is full, close it first."""
    group = open_.setdefault(due.url, _Group())
    if not group.takes(due, company):
        requests.together.append(tuple(group.members))
        group = open_[due.url] = _Group()
    group.add(due)


def lead(lane: Sequence[Due], company: BundleSettings, now: datetime) -> DueRequests:
    """Make the next request of a lane from its first deliveries; no request while the event waits for others."""
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
            # The next delivery cannot join and must not be overtaken, so waiting gains nothing.
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
    """Make a request of a group if it is full or has waited long enough."""
    until = group.waits_since + company.wait
    if is_cut or len(group.members) >= (company.items or 1) or until <= now:
        requests.together.append(tuple(group.members))
    else:
        requests.wait_until(until)


def body(created_at: datetime, bodies: Iterable[bytes]) -> bytes:
    """Return the body of a bundle: the data of each event byte for byte, in the given order."""
    frame = orjson.dumps({"type": TYPE, "timestamp": format_timestamp(created_at)})
    return frame[:-1] + b"," + _DATA + b"[" + b",".join(_data(each) for each in bodies) + b"]}"


def _data(event_body: bytes) -> bytes:
    # Sliced, not parsed and serialized again: numbers keep every digit. No earlier field contains this marker.
    return event_body[event_body.index(_DATA) + len(_DATA) : -1]
