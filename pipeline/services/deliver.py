"""Claim what is due to receivers, and record what they answered. Each function owns its transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from pipeline.domain.credentials import Credentials, Sealed
from pipeline.domain.delivery import AttemptOutcome, Decision, DeliveryState, Owed, Sent, decide
from pipeline.domain.explanation import explain
from pipeline.domain.identity import webhook_id
from pipeline.domain.room import Room, share
from pipeline.domain.schedule import Schedule
from pipeline.log import get_logger
from pipeline.services.wallet import Wallet
from pipeline.storage import deliveries, endpoints
from pipeline.storage.engine import Database
from pipeline.storage.row import Row

log = get_logger(__name__)

_FAILED = (AttemptOutcome.RETRY, AttemptOutcome.DEAD)


@dataclass(frozen=True, slots=True)
class Claim:
    """What was claimed, and when to look again.

    Args:
        has_more: some endpoint may have more that is due, and has room for it.
        next_at: when the next delivery becomes due; None where none waits for its time.
    """

    owed: tuple[Owed, ...] = ()
    has_more: bool = False
    next_at: datetime | None = None


def claim_due(
    database: Database,
    room: Room,
    *,
    worker: str,
    now: datetime,
    lease_until: datetime,
    most: int,
    wallet: Wallet | None = None,
) -> Claim:
    """Take at most `most` due deliveries under a lease, shared between endpoints as `room` says.

    Passed over are endpoints that asked to wait, and those whose secrets or headers `wallet` cannot read: nothing is
    sent unsigned, and another sender may have the key. What is owed to disabled ones is paused.
    """
    with database.read() as connection:
        waiting = deliveries.waiting(connection)
    credentials = _credentials(waiting, wallet or Wallet())
    disabled = [row["origin"] for row in waiting if row["disabled_at"] is not None]
    locked = {origin for origin, found in credentials.items() if found is None}
    enabled = [row for row in waiting if row["disabled_at"] is None and row["origin"] not in locked]
    ready = [(row["origin"], row["in_flight_cap"]) for row in enabled if _callable_at(row) <= now]
    next_at = min((_callable_at(row) for row in enabled if _callable_at(row) > now), default=None)
    shares = share(room, ready, most)
    if not shares and not disabled:
        return Claim(next_at=next_at)
    with database.write() as connection:
        if disabled:
            deliveries.pause(connection, disabled)
        ids = [id_ for origin, count in shares.items() for id_ in deliveries.due(connection, origin, now, count)]
        owed = _take(connection, ids, worker, lease_until, credentials) if ids else ()
    is_short = any(shares.get(origin, 0) < room.at(origin, configured) for origin, configured in ready)
    return Claim(owed, has_more=is_short and bool(owed), next_at=next_at)


def is_busy(database: Database, worker: str, now: datetime) -> bool:
    """Say whether `worker` is sending, or something is due now that it could send."""
    with database.read() as connection:
        waiting = deliveries.waiting(connection)
        holders = deliveries.holders(connection)
    return worker in holders or any(row["disabled_at"] is None and _callable_at(row) <= now for row in waiting)


def record_sent(database: Database, sent: Sequence[Sent], *, worker: str, schedule: Schedule) -> list[Decision]:
    """Record attempts and what follows from them, in one transaction. Return the decisions, in the same order."""
    decisions = [decide(each, schedule) for each in sent]
    decided = list(zip(sent, decisions, strict=True))
    with database.write() as connection:
        _settle(connection, decided, worker)
        deliveries.log(connection, [_attempt(*each, worker) for each in decided])
        _observe(connection, decided)
    for each, decision in decided:
        _tell(each, decision)
    return decisions


def take_back(database: Database, now: datetime) -> int:
    """Make deliveries pending again whose sender never recorded an answer in time. Return how many."""
    with database.write() as connection:
        return deliveries.take_back(connection, now=now)


def release(database: Database, worker: str, now: datetime) -> int:
    """Hand back what a stopping sender holds; no attempt is counted. Return how many."""
    with database.write() as connection:
        return deliveries.release(connection, worker, now)


def enable(database: Database, origin: str, now: datetime) -> int:
    """Call a disabled endpoint again, and send what was paused for it. Return how many deliveries that are."""
    with database.write() as connection:
        endpoints.enable(connection, origin, now)
        return deliveries.unpause(connection, origin, now)


def _callable_at(row: Row) -> datetime:
    due_at: datetime = row["due_at"]
    return due_at if row["not_before"] is None else max(due_at, row["not_before"])


def _credentials(waiting: Sequence[Row], wallet: Wallet) -> dict[str, Credentials | None]:
    """Return what endpoints have of their own; None where this process cannot read it."""
    own = [row for row in waiting if row["secrets"] or row["headers"]]
    return {row["origin"]: wallet.open(Sealed(row["origin"], row["secrets"], row["headers"])) for row in own}


def _take(
    connection: Connection,
    ids: Sequence[int],
    worker: str,
    lease_until: datetime,
    credentials: Mapping[str, Credentials | None],
) -> tuple[Owed, ...]:
    taken = deliveries.take(connection, ids, worker=worker, lease_until=lease_until)
    return tuple(
        Owed(
            id=row.id,
            url=row.url,
            origin=row.origin,
            attempt=row.attempt,
            webhook_id=webhook_id(row.public_id, row.seq),
            body=bytes(row.body),
            created_at=row.created_at,
            credentials=credentials.get(row.origin),
        )
        for row in deliveries.read(connection, taken)
    )


def _settle(connection: Connection, decided: Sequence[tuple[Sent, Decision]], worker: str) -> None:
    delivered: dict[int, list[int]] = {}
    others = []
    for sent, decision in decided:
        if decision.state is DeliveryState.DELIVERED and sent.answer.status is not None:
            delivered.setdefault(sent.answer.status, []).append(sent.owed.id)
        else:
            others.append(_settled(sent, decision, worker))
    for status, ids in delivered.items():
        deliveries.delivered(connection, ids, worker=worker, status=status, now=decided[-1][0].ended_at)
    if others:
        deliveries.settle(connection, others)


def _settled(sent: Sent, decision: Decision, worker: str) -> dict[str, Any]:
    snoozed = decision.outcome is AttemptOutcome.SNOOZED
    return {
        "id": sent.owed.id,
        "worker": worker,
        "attempt": sent.owed.attempt,
        "attempt_after": sent.owed.attempt - snoozed,
        "state": decision.state.value,
        "due_at": None if decision.delay is None else sent.ended_at + decision.delay,
        "status": sent.answer.status,
        "error": sent.answer.code,
        "finished_at": None if decision.state is DeliveryState.PENDING else sent.ended_at,
    }


def _attempt(sent: Sent, decision: Decision, worker: str) -> dict[str, Any]:
    return {
        "delivery_id": sent.owed.id,
        "number": sent.owed.attempt,
        "outcome": decision.outcome.value,
        "status": sent.answer.status,
        "error_type": sent.answer.code,
        "error_message": explain(sent.answer),
        "started_at": sent.started_at,
        "ended_at": sent.ended_at,
        "worker": worker,
        "answer": sent.answer.text,
    }


def _observe(connection: Connection, decided: Sequence[tuple[Sent, Decision]]) -> None:
    """Write what the attempts tell about their endpoints; rows are locked in the order of their names."""
    endpoints.lock(connection, sorted({sent.owed.origin for sent, _ in decided}))
    failures: Counter[str] = Counter()
    not_before: dict[str, datetime] = {}
    succeeded: set[str] = set()
    for sent, decision in decided:
        origin = sent.owed.origin
        if decision.outcome is AttemptOutcome.SUCCEEDED:
            succeeded.add(origin)
            failures.pop(origin, None)
        if decision.outcome in _FAILED:
            failures[origin] += 1
        if decision.pause is not None:
            until = sent.ended_at + decision.pause
            not_before[origin] = max(until, not_before.get(origin, until))
    if succeeded:
        endpoints.succeeded(connection, sorted(succeeded), decided[-1][0].ended_at)
    observed = [
        {
            "origin": origin,
            "consecutive_failures": failures[origin],
            "not_before": not_before.get(origin),
            "updated_at": decided[-1][0].ended_at,
        }
        for origin in sorted(failures.keys() | not_before.keys())
    ]
    if observed:
        endpoints.failed(connection, observed)
    _disable(connection, decided)


def _disable(connection: Connection, decided: Sequence[tuple[Sent, Decision]]) -> None:
    reasons = {sent.owed.origin: (decision.disable, sent) for sent, decision in decided if decision.disable}
    for origin, (reason, sent) in sorted(reasons.items(), key=lambda each: each[0]):
        if endpoints.disable(connection, origin, str(reason), sent.ended_at):
            log.warning("endpoint_disabled", origin=origin, reason=str(reason))
    if reasons:
        deliveries.pause(connection, sorted(reasons))


def _tell(sent: Sent, decision: Decision) -> None:
    if decision.state is DeliveryState.DEAD:
        log.warning(
            "delivery_dead",
            delivery=sent.owed.id,
            webhook_id=sent.owed.webhook_id,
            origin=sent.owed.origin,
            attempt=sent.owed.attempt,
            code=sent.answer.code,
        )
