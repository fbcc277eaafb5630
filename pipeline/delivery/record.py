"""Record attempts and the new states of their deliveries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from pipeline.delivery.give_up import tell_fallback
from pipeline.delivery.rules.delivery import AttemptOutcome, Decision, DeliveryState, Sent
from pipeline.delivery.rules.failure_text import explain
from pipeline.delivery.sql import attempts, bundles, outcomes

#: A finished attempt and the decision about it.
Decided = tuple[Sent, Decision]


def settle(connection: Connection, decided: Sequence[Decided], worker: str) -> None:
    """Update single deliveries by id and bundles as a whole; append one attempt per request.

    A first attempt that succeeds is not appended if it stands on its delivery.
    """
    alone = [each for each in decided if each[0].owed.bundle_id is None]
    together = [each for each in decided if each[0].owed.bundle_id is not None]
    given_up = _given_up(connection, decided, worker)
    standing = _settle(connection, alone, worker, outcomes) | _settle(connection, together, worker, bundles)
    appended = [each for each in decided if each[0].owed.id not in standing or not _is_first_success(*each)]
    attempts.add(connection, [_attempt(*each, worker) for each in appended])
    if given_up:
        tell_fallback(connection, given_up, decided[-1][0].ended_at)


def _is_first_success(sent: Sent, decision: Decision) -> bool:
    owed = sent.owed
    is_first = owed.attempt == 1 and owed.trigger is None and owed.bundle_id is None
    return is_first and decision.state is DeliveryState.DELIVERED


def _given_up(connection: Connection, decided: Sequence[Decided], worker: str) -> list[int]:
    """Return the deliveries that become dead. A sender that lost its lease cannot give any up."""
    dead = [sent.owed for sent, decision in decided if decision.state is DeliveryState.DEAD]
    alone = {(owed.id, owed.attempt) for owed in dead if owed.bundle_id is None}
    together = {owed.bundle_id: owed.attempt for owed in dead if owed.bundle_id is not None}
    found: list[int] = []
    if alone:
        held = outcomes.find_held(connection, [id_ for id_, _ in alone], worker)
        found += [id_ for id_, _ in sorted(alone & held)]
    if together:
        members = bundles.find_held(connection, list(together), worker)
        found += [id_ for id_, bundle_id, attempt in members if attempt <= together[bundle_id]]
    return found


def _settle(connection: Connection, decided: Sequence[Decided], worker: str, table: Any) -> set[int]:
    """Return the deliveries on which their first attempt stands."""
    delivered = [_delivered(*each) for each in decided if each[1].state is DeliveryState.DELIVERED]
    others = [_settled(*each, worker) for each in decided if each[1].state is not DeliveryState.DELIVERED]
    standing: set[int] = table.mark_delivered(connection, delivered, worker=worker) if delivered else set()
    if others:
        table.record_outcomes(connection, others)
    return standing


def _delivered(sent: Sent, decision: Decision) -> dict[str, Any]:
    stands = _is_first_success(sent, decision)
    return {
        "id": sent.owed.bundle_id or sent.owed.id,
        "last_status": sent.answer.status,
        "finished_at": sent.ended_at,
        "started_at": sent.started_at if stands else None,
        "answer": sent.answer.text if stands else None,
    }


def _settled(sent: Sent, decision: Decision, worker: str) -> dict[str, Any]:
    owed, snoozed = sent.owed, decision.outcome is AttemptOutcome.SNOOZED
    is_manual = owed.trigger is not None
    return {
        "id": owed.bundle_id or owed.id,
        "worker": worker,
        "attempt": owed.attempt,
        # A snoozed attempt is not counted, so the next attempt is still the one that the user requested.
        "attempt_after": owed.attempt - snoozed,
        "replays_after": owed.replays - (snoozed and is_manual),
        "trigger_after": owed.trigger if snoozed else None,
        "state": decision.state.value,
        "due_at": None if decision.delay is None else sent.ended_at + decision.delay,
        "status": sent.answer.status,
        "error": sent.answer.code,
        "finished_at": None if decision.state is DeliveryState.PENDING else sent.ended_at,
    }


def _attempt(sent: Sent, decision: Decision, worker: str) -> dict[str, Any]:
    owed = sent.owed
    return {
        "delivery_id": owed.id if owed.bundle_id is None else None,
        "bundle_id": owed.bundle_id,
        "number": owed.attempt,
        "trigger": owed.trigger,
        "outcome": decision.outcome.value,
        "status": sent.answer.status,
        "error_type": sent.answer.code,
        "error_message": explain(sent.answer),
        "started_at": sent.started_at,
        "ended_at": sent.ended_at,
        "worker": worker,
        "answer": sent.answer.text,
    }
