"""Claim what is due to receivers, and record what they answered. Each function owns its transaction."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from pipeline.domain.credentials import Credentials, Sealed
from pipeline.domain.delivery import AttemptOutcome, Decision, DeliveryState, Owed, Sent, decide
from pipeline.domain.explanation import explain
from pipeline.domain.identity import webhook_id
from pipeline.domain.room import Room, halves, share
from pipeline.domain.schedule import SCHEDULES, Schedule
from pipeline.log import get_logger
from pipeline.services.admission import Admission, admit, callable_at, cap, charge
from pipeline.services.exhausted import expire, tell_fallback
from pipeline.services.notices import tell
from pipeline.services.observe import observe_all
from pipeline.services.wallet import Wallet
from pipeline.storage import deliveries
from pipeline.storage.engine import Database
from pipeline.storage.row import Row

log = get_logger(__name__)

_rng = random.Random()


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
    plan = _plan(database, room, now, most, wallet or Wallet())
    if not plan.shares and not plan.disabled:
        return Claim(next_at=min(plan.later, default=None))
    with database.write() as connection:
        if plan.disabled:
            deliveries.pause(connection, plan.disabled)
        admission = admit(connection, list(plan.known.values()), plan.shares, now)
        owed = _take(connection, plan, admission, worker=worker, now=now, lease_until=lease_until)
        paid_until = charge(connection, admission, Counter(each.origin for each in owed), now, lease_until)
    for origin in admission.probes:
        # While it was left alone, nothing of it was decided on.
        expire(database, origin, plan.known[origin]["schedule"], now)
    is_short = any(plan.shares.get(origin, 0) < room.at(origin, most_there) for origin, most_there in plan.ready)
    next_at = min((at for at in (*plan.later, paid_until) if at is not None and at > now), default=None)
    return Claim(owed, has_more=is_short and bool(owed), next_at=next_at)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a claim means to take: decided without a lock, hence looked at once more where it matters.

    Args:
        known: enabled endpoints with pending deliveries, and with nothing that this process cannot read.
        credentials: what endpoints have of their own.
        disabled: endpoints whose deliveries are to be paused.
        ready: endpoints that may be called now, with the requests that may be in flight there; None: as anywhere.
        later: when the others may be called.
    """

    known: dict[str, Row]
    credentials: dict[str, Credentials | None]
    disabled: list[str]
    ready: list[tuple[str, int | None]]
    later: list[datetime]
    shares: dict[str, int]


def _plan(database: Database, room: Room, now: datetime, most: int, wallet: Wallet) -> _Plan:
    with database.read() as connection:
        waiting = deliveries.waiting(connection)
    credentials = _credentials(waiting, wallet)
    locked = {origin for origin, found in credentials.items() if found is None}
    enabled = [row for row in waiting if row["disabled_at"] is None and row["origin"] not in locked]
    known = {row["origin"]: row for row in enabled}
    times = {origin: callable_at(row, now) for origin, row in known.items()}
    ready = [(origin, cap(row, room, now)) for origin, row in known.items() if times[origin] <= now]
    return _Plan(
        known=known,
        credentials=credentials,
        disabled=[row["origin"] for row in waiting if row["disabled_at"] is not None],
        ready=ready,
        later=[at for at in times.values() if at > now],
        shares=share(room, ready, most),
    )


def _due(connection: Connection, row: Row, now: datetime, count: int) -> list[int]:
    """Return ids of due deliveries to one endpoint: first attempts and retries, where both are due."""
    first, again = (
        deliveries.due(connection, row["origin"], now, count, retries=retries) if at is not None and at <= now else []
        for retries, at in ((False, row["first_due_at"]), (True, row["retry_due_at"]))
    )
    of_first, of_again = halves(len(first), len(again), count, first_goes_ahead=_rng.random() < 0.5)
    return first[:of_first] + again[:of_again]


def is_busy(database: Database, worker: str, now: datetime) -> bool:
    """Say whether `worker` is sending, or something is due now that it could send."""
    with database.read() as connection:
        waiting = deliveries.waiting(connection)
        holders = deliveries.holders(connection)
    return worker in holders or any(row["disabled_at"] is None and callable_at(row, now) <= now for row in waiting)


def record_sent(database: Database, sent: Sequence[Sent], *, worker: str, schedule: Schedule) -> list[Decision]:
    """Record attempts and what follows from them, in one transaction. Return the decisions, in the same order."""
    decisions = [decide(each, SCHEDULES.get(each.owed.schedule or "", schedule)) for each in sent]
    decided = list(zip(sent, decisions, strict=True))
    with database.write() as connection:
        _settle(connection, decided, worker)
        deliveries.log(connection, [_attempt(*each, worker) for each in decided])
        noticed = observe_all(connection, decided)
    for each, decision in decided:
        _tell(each, decision)
    tell(noticed)
    return decisions


def take_back(database: Database, now: datetime) -> int:
    """Make deliveries pending again whose sender never recorded an answer in time. Return how many."""
    with database.write() as connection:
        return deliveries.take_back(connection, now=now)


def release(database: Database, worker: str, now: datetime) -> int:
    """Hand back what a stopping sender holds; no attempt is counted. Return how many."""
    with database.write() as connection:
        return deliveries.release(connection, worker, now)


def _credentials(waiting: Sequence[Row], wallet: Wallet) -> dict[str, Credentials | None]:
    """Return what endpoints have of their own; None where this process cannot read it."""
    own = [row for row in waiting if row["secrets"] or row["headers"]]
    return {row["origin"]: wallet.open(Sealed(row["origin"], row["secrets"], row["headers"])) for row in own}


def _take(
    connection: Connection, plan: _Plan, admission: Admission, *, worker: str, now: datetime, lease_until: datetime
) -> tuple[Owed, ...]:
    ids = [
        id_ for origin, count in admission.shares.items() for id_ in _due(connection, plan.known[origin], now, count)
    ]
    if not ids:
        return ()
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
            credentials=plan.credentials.get(row.origin),
            schedule=plan.known[row.origin]["schedule"] or row.schedule,
            is_probe=row.origin in admission.probes,
        )
        for row in deliveries.read(connection, taken)
    )


def _settle(connection: Connection, decided: Sequence[tuple[Sent, Decision]], worker: str) -> None:
    delivered: dict[int, list[int]] = {}
    others = []
    dead = {(sent.owed.id, sent.owed.attempt) for sent, decision in decided if decision.state is DeliveryState.DEAD}
    # Who lost its lease gives nothing up.
    given_up = dead & deliveries.held(connection, [id_ for id_, _ in dead], worker) if dead else set()
    for sent, decision in decided:
        if decision.state is DeliveryState.DELIVERED and sent.answer.status is not None:
            delivered.setdefault(sent.answer.status, []).append(sent.owed.id)
        else:
            others.append(_settled(sent, decision, worker))
    for status, ids in delivered.items():
        deliveries.delivered(connection, ids, worker=worker, status=status, now=decided[-1][0].ended_at)
    if others:
        deliveries.settle(connection, others)
    if given_up:
        tell_fallback(connection, [id_ for id_, _ in given_up], decided[-1][0].ended_at)


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
