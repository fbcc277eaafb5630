"""Put selected deliveries under a lease and turn them into requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy import Connection

from pipeline.database.row import Row
from pipeline.delivery.rules import bundle
from pipeline.delivery.rules.bundle import Due, DueRequests
from pipeline.delivery.rules.credentials import Credentials
from pipeline.delivery.rules.delivery import Owed
from pipeline.delivery.sql import bundles, claims
from pipeline.delivery.sql.bundles import BundleMember
from pipeline.domain.callback_url import parse_origin
from pipeline.domain.ids import new_bundle_id, webhook_id


@dataclass(frozen=True, slots=True)
class Terms:
    """What all requests of one claim share.

    Args:
        worker: name of the sender.
        until: end of the lease.
        known: rows of the endpoints.
        probes: endpoints that get a probe.
        credentials: secrets and headers, by endpoint.
    """

    worker: str
    until: datetime
    now: datetime
    known: Mapping[str, Row]
    probes: Set[str]
    credentials: Mapping[str, Credentials | None]

    def of(self, origin: str, schedule: str | None) -> dict[str, Any]:
        """Return the fields that an endpoint adds to a request; `schedule` is the batch's."""
        return {
            "schedule": self.known[origin]["schedule"] or schedule,
            "is_probe": origin in self.probes,
            "credentials": self.credentials.get(origin),
            "lease_until": self.until,
        }


def take(connection: Connection, picked: Sequence[DueRequests], terms: Terms) -> tuple[Owed, ...]:
    """Mark selected deliveries as `sending`; each request counts as an attempt. Return the requests that were taken."""
    alone = [id_ for requests in picked for id_ in requests.alone]
    known = [id_ for requests in picked for id_ in requests.bundles]
    made = [_bundle(connection, members, terms) for requests in picked for members in requests.together]
    taken = _take_bundles(connection, known, terms) if known else []
    return (*_alone(connection, alone, terms), *_bundles(connection, [*taken, *made], terms))


def _alone(connection: Connection, ids: Sequence[int], terms: Terms) -> list[Owed]:
    if not ids:
        return []
    taken = claims.claim(connection, ids, worker=terms.worker, lease_until=terms.until)
    # One or a few combinations cover all rows.
    of = {(row.origin, row.schedule): terms.of(row.origin, row.schedule) for row in taken}
    return [
        Owed(
            id=row.id,
            url=row.url,
            origin=row.origin,
            attempt=row.attempt,
            webhook_id=webhook_id(row.public_id, row.seq),
            body=bytes(row.body),
            created_at=row.created_at,
            replays=row.replays,
            trigger=row.trigger,
            **of[row.origin, row.schedule],
        )
        for row in taken
    ]


def _bundle(connection: Connection, members: Sequence[Due], terms: Terms) -> int:
    first = members[0]
    row = {"webhook_id": new_bundle_id(), "url": first.url, "origin": parse_origin(first.url), "created_at": terms.now}
    ids = [member.id for member in members]
    return bundles.create(connection, row, ids, worker=terms.worker, lease_until=terms.until)


def _take_bundles(connection: Connection, ids: Sequence[int], terms: Terms) -> list[int]:
    return bundles.claim(connection, ids, worker=terms.worker, lease_until=terms.until)


def _bundles(connection: Connection, ids: Sequence[int], terms: Terms) -> list[Owed]:
    members = groupby(bundles.read_members(connection, ids, terms.worker), key=lambda member: member.bundle_id)
    return [_owed(list(each), terms) for _, each in members]


def _owed(members: Sequence[BundleMember], terms: Terms) -> Owed:
    first = members[0]
    travelling = [member for member in members if member.is_claimed]
    most_tried = max(travelling, key=lambda member: member.attempt)
    return Owed(
        id=travelling[0].id,
        url=first.url,
        origin=first.origin,
        attempt=most_tried.attempt,
        webhook_id=first.webhook_id,
        body=bundle.body(first.bundled_at, [bytes(member.body) for member in members]),
        created_at=min(member.created_at for member in travelling),
        replays=most_tried.replays,
        trigger=travelling[0].trigger,
        bundle_id=first.bundle_id,
        count=len(travelling),
        **terms.of(first.origin, travelling[0].schedule),
    )
