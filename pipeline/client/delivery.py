"""Deliveries as Python sees them: one event owed to one URL, and each attempt to deliver it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from pipeline.client.async_session import AsyncSession
from pipeline.client.session import Session
from pipeline.database.row import Row
from pipeline.database.tables import POSITIONS_PER_BATCH
from pipeline.delivery import deliveries
from pipeline.delivery.rules.delivery import AttemptOutcome, DeliveryState
from pipeline.domain.event import EventType
from pipeline.domain.ids import item_id, webhook_id


@dataclass(frozen=True, slots=True)
class DeliveryAttempt:
    """One attempt at a delivery.

    Args:
        number: From 1.
        outcome: `succeeded`, `retry`, `snoozed` or `dead`.
        status: HTTP status of the response; None: there was none.
        error: Code of what went wrong, such as `timeout` or `http_503`; None: it succeeded.
        message: The same as a sentence.
        trigger: `manual` if somebody asked for the attempt; None: it was due.
        answer: How the body of the response began.
        started_at: When it began, in UTC.
        ended_at: When it was over, in UTC.
    """

    number: int
    outcome: AttemptOutcome
    status: int | None
    error: str | None
    message: str | None
    trigger: str | None
    answer: str | None
    started_at: datetime
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class DeliveryFields:
    """What is known of a delivery; `Delivery` explains each field."""

    id: int
    batch_id: str
    item_id: str | None
    key: str | None
    webhook_id: str
    bundle: str | None
    type: EventType
    url: str
    endpoint: str
    state: DeliveryState
    attempts: int
    due_at: datetime | None
    last_status: int | None
    last_error: str | None
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Delivery(DeliveryFields):
    """One event owed to one URL, as it was when it was read. Made by a `Client`.

    Args:
        id: The delivery's number.
        batch_id: The batch.
        item_id: The item; None for an event of the batch itself.
        key: Your own id of the item, if it has one.
        webhook_id: Of the event, the same for every attempt; receivers act on each once.
        bundle: Webhook id of the request in which it travelled with others; None: alone.
        type: Of the event, such as `item.completed`.
        url: Where it goes; its query may hold secrets.
        endpoint: Scheme, host and port of the URL.
        state: `pending`, `sending`, `delivered`, `dead`, `paused` or `cancelled`.
        attempts: Attempts so far.
        due_at: When the next attempt may be made.
        last_status: HTTP status of the last attempt, if there was a response.
        last_error: Code of what went wrong in the last attempt; None: nothing did.
        created_at: When the event happened.
        finished_at: When it was delivered, given up or cancelled.
    """

    _session: Session = field(repr=False, compare=False)

    def history(self) -> list[DeliveryAttempt]:
        """Return the attempts so far, oldest first, including those of its bundle.

        Raises:
            NotFound: The delivery's batch was pruned meanwhile.
        """
        return _history(self._session, self.id)

    def replay(self) -> Delivery:
        """Send it again now, with the same webhook id and body. The attempt does not count against the schedule.

        Returns:
            The delivery as it is then: pending.

        Raises:
            Conflict: It is being sent right now, or its endpoint is disabled.
            NotFound: The delivery's batch was pruned meanwhile.
        """
        return Delivery(**_replayed(self._session, self.id), _session=self._session)


@dataclass(frozen=True, slots=True)
class AsyncDelivery(DeliveryFields):
    """One event owed to one URL, as it was when it was read. Made by an `AsyncClient`; has the fields of `Delivery`."""

    _session: AsyncSession = field(repr=False, compare=False)

    async def history(self) -> list[DeliveryAttempt]:
        """Return the attempts so far, oldest first; see `Delivery.history`."""
        return await self._session.call(lambda session: _history(session, self.id))

    async def replay(self) -> AsyncDelivery:
        """Send it again now; see `Delivery.replay`."""
        replayed = await self._session.call(lambda session: _replayed(session, self.id))
        return AsyncDelivery(**replayed, _session=self._session)


def values_of(delivery: Delivery) -> dict[str, Any]:
    """Return the fields of a delivery by name."""
    return {each.name: getattr(delivery, each.name) for each in fields(DeliveryFields)}


def fields_of(row: Row) -> dict[str, Any]:
    """Return the fields of a delivery that is stored as this row."""
    batch, item = row["public_id"], row["item_id"]
    return {
        "id": row["id"],
        "batch_id": batch,
        "item_id": None if item is None else item_id(batch, item % POSITIONS_PER_BATCH),
        "key": row["key"],
        "webhook_id": webhook_id(batch, row["seq"]),
        "bundle": row["bundle"],
        "type": EventType(row["type"]),
        "url": row["url"],
        "endpoint": row["origin"],
        "state": DeliveryState(row["state"]),
        "attempts": row["attempt"],
        "due_at": row["due_at"],
        "last_status": row["last_status"],
        "last_error": row["last_error"],
        "created_at": row["created_at"],
        "finished_at": row["finished_at"],
    }


def _history(session: Session, number: int) -> list[DeliveryAttempt]:
    return [
        DeliveryAttempt(
            number=row["number"],
            outcome=AttemptOutcome(row["outcome"]),
            status=row["status"],
            error=row["error_type"],
            message=row["error_message"],
            trigger=row["trigger"],
            answer=row["answer"],
            started_at=row["started_at"],
            ended_at=row["ended_at"],
        )
        for row in deliveries.show(session.context, number).attempts
    ]


def _replayed(session: Session, number: int) -> dict[str, Any]:
    row = deliveries.replay(session.context, number)
    session.ensure_working()
    return fields_of(row)
