"""Select what a claim takes: single deliveries, bundles, and the heads of lanes."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from pipeline.database.row import Row
from pipeline.delivery.rules.bundle import BundleSettings, DueRequests, gather, lead
from pipeline.delivery.rules.capacity import halves
from pipeline.delivery.rules.delivery import is_target
from pipeline.delivery.rules.lane import Head
from pipeline.delivery.sql import bundles, claims, lanes

#: Maximum number of deliveries read in one claim to form bundles.
WINDOW = 2_000
#: Maximum number of deliveries to an ordered endpoint searched for those outside any lane.
OUTSIDE_WINDOW = 200

_rng = random.Random()

#: The heads of lanes, by endpoint.
Heads = Mapping[str, Sequence[Head]]


def patient(connection: Connection, waiting: Sequence[Row], now: datetime) -> list[Row]:
    """Return endpoints with waiting deliveries; `due_at` becomes the time at which the next request may start.

    That is later than the first delivery's due time if events wait to be bundled, or wait for their predecessor in a
    lane. Endpoints that only wait for an answer are left out: whoever records the answer looks again.
    """
    heads = _heads(connection) if any(row["ordering"] for row in waiting) else {}
    ready = [(row, _ready_at(connection, row, heads, now)) for row in waiting]
    found = [{**row, "due_at": at} for row, at in ready if at is not None]
    return sorted(found, key=lambda row: row["due_at"])


def pick(
    connection: Connection, known: Mapping[str, Row], shares: Mapping[str, int], now: datetime
) -> list[DueRequests]:
    """Return the requests to make: for each endpoint, at most its share.

    Rows of ordered endpoints must be locked, so that only one of two senders advances a lane.
    """
    heads = _moving_heads(connection, [known[origin] for origin in shares if known[origin]["ordering"]], now)
    return [_requests(connection, known[origin], count, heads, now) for origin, count in shares.items()]


def _requests(connection: Connection, row: Row, most: int, heads: Heads, now: datetime) -> DueRequests:
    origin, company = row["origin"], _company(row)
    if row["ordering"]:
        outside = bundles.find_due(connection, origin, now, OUTSIDE_WINDOW, unordered=True)
        requests = gather(outside, company, now, most)
        _follow(connection, heads.get(origin, ()), row, most, now, requests)
        return requests
    if company.items is None:
        found = _due(connection, row, now, most)
        bundled = dict.fromkeys(bundle_id for _, bundle_id in found if bundle_id is not None)
        return DueRequests(alone=[id_ for id_, bundle_id in found if bundle_id is None], bundles=list(bundled))
    window = min(most * company.items, WINDOW)
    return gather(bundles.find_due(connection, origin, now, window, unordered=False), company, now, most)


def _due(connection: Connection, row: Row, now: datetime, count: int) -> list[tuple[int, int | None]]:
    """Return due deliveries to one endpoint: first attempts and retries, if both are due."""
    first, again = (
        claims.find_due(connection, row["origin"], now, count, retries=retries) if at is not None and at <= now else []
        for retries, at in ((False, row["first_due_at"]), (True, row["retry_due_at"]))
    )
    of_first, of_again = halves(len(first), len(again), count, first_goes_ahead=_rng.random() < 0.5)
    return first[:of_first] + again[:of_again]


def _follow(
    connection: Connection, heads: Sequence[Head], row: Row, most: int, now: datetime, requests: DueRequests
) -> None:
    """Add the next request of each lane that has none in flight."""
    company = _company(row)
    for head in heads:
        at = head.moves_at(_max_block(row))
        if at is not None and at > now:
            requests.wait_until(at)
        elif at is not None and len(requests) < most:
            requests.add(lead(lanes.find_first(connection, head.lane, (company.items or 1) + 1), company, now))


def _moving_heads(connection: Connection, ordered: Sequence[Row], now: datetime) -> Heads:
    """Return the heads of lanes, after removing those that have blocked their lane for too long."""
    if not ordered:
        return {}
    max_block = {row["origin"]: _max_block(row) for row in ordered}
    while True:
        heads = _heads(connection)
        known = [head for origin in max_block for head in heads.get(origin, ())]
        passed_over = [head for head in known if head.is_passed_over(max_block[head.origin], now)]
        if not passed_over:
            return heads
        lanes.leave_lanes(connection, passed_over)


def _heads(connection: Connection) -> Heads:
    of_origin: dict[str, list[Head]] = defaultdict(list)
    for head in lanes.find_heads(connection):
        of_origin[head.origin].append(head)
    return of_origin


def _ready_at(connection: Connection, row: Row, heads: Heads, now: datetime) -> datetime | None:
    due_at: datetime | None = row["due_at"]
    if row["disabled_at"] is not None:
        return due_at
    if row["ordering"]:
        at = [head.moves_at(_max_block(row)) for head in heads.get(row["origin"], ())]
        at.append(lanes.next_due_outside(connection, row["origin"], OUTSIDE_WINDOW))
        due_at = min((each for each in at if each is not None), default=None)
    company = _company(row)
    if due_at is None or company.items is None or due_at + company.wait <= now:
        return due_at
    is_ready = bundles.is_ready(connection, row["origin"], now, company.items)
    with_company = due_at if is_ready else due_at + company.wait
    # Retries do not wait to be bundled.
    return with_company if row["retry_due_at"] is None else min(with_company, max(row["retry_due_at"], due_at))


def _company(row: Row) -> BundleSettings:
    return BundleSettings.of(row["coalesce_items"], row["coalesce_ms"], is_target=is_target(row["origin"]))


def _max_block(row: Row) -> timedelta | None:
    seconds = row["max_block_seconds"]
    return None if seconds is None else timedelta(seconds=seconds)
