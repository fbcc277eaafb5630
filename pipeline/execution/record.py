"""Record what stages gave: one transaction for a group of items, each item on its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection

from pipeline.batches.finish import finish
from pipeline.batches.sql import attempts
from pipeline.database.locks import hold
from pipeline.database.row import Row
from pipeline.database.tables import items
from pipeline.definitions import Definition
from pipeline.domain.item import Classification, Enrichment, ItemState, Stage
from pipeline.domain.outcome import Failure, FailureKind, GiveUp, Outcome, decide
from pipeline.execution.sql import outcomes
from pipeline.hooks import Hooks


class Settlement(StrEnum):
    """What became of a message."""

    #: The stage succeeded and another follows: its message may be published.
    ADVANCED = "advanced"
    #: The last stage succeeded.
    SUCCEEDED = "succeeded"
    #: The attempt failed; the item waits for its `due_at`.
    PUT_OFF = "put_off"
    #: The item is dead.
    DEAD = "dead"
    #: Another release of the item was faster, or this message came twice: nothing was changed.
    STALE = "stale"
    #: It could not be recorded. The lease runs out, and the item is tried again.
    LOST = "lost"
    #: Its process is stopping, and has given the item back: another runs it, and no attempt is counted.
    HANDED_BACK = "handed_back"


class Settled(NamedTuple):
    """What became of a message; `error` is the type of the failure behind it, where one is."""

    end: Settlement
    error: str | None = None


class Done(NamedTuple):
    """The outcome of a claimed item at a stage."""

    row: Row
    stage: Stage
    definition: Definition
    outcome: Outcome
    started_at: datetime


@dataclass(slots=True)
class _Sorted:
    """Outcomes by the statement that writes them."""

    advancing: list[Row] = field(default_factory=list)
    waiting: list[Row] = field(default_factory=list)
    final: list[Row] = field(default_factory=list)
    failed: list[Row] = field(default_factory=list)

    @property
    def is_mixed(self) -> bool:
        return sum(map(bool, (self.advancing, self.waiting, self.final))) > 1


def record(
    connection: Connection, done: Sequence[Done], *, now: datetime, lease: timedelta, worker: str, hooks: Hooks
) -> dict[int, Settled]:
    """Write a group of outcomes; return what became of each item id."""
    by_statement = _Sorted()
    for each in done:
        _sort(each, by_statement, now=now, worker=worker)
    settled = {each.row["id"]: Settlement.STALE for each in done}
    if by_statement.is_mixed:
        # Each statement takes its own rows in order; together they would not.
        hold(connection, items, list(settled))
    if by_statement.advancing:
        moved = outcomes.advance(connection, by_statement.advancing, now=now, lease_until=now + lease)
        settled.update(dict.fromkeys(moved, Settlement.ADVANCED))
    if by_statement.waiting:
        settled.update(dict.fromkeys(outcomes.put_off(connection, by_statement.waiting), Settlement.PUT_OFF))
    finished = outcomes.finish(connection, by_statement.final, now=now) if by_statement.final else []
    settled.update({row["id"]: _END[row["state"]] for row in finished})
    attempts.add(connection, [row for row in by_statement.failed if settled[row["item_id"]] is not Settlement.STALE])
    if finished:
        finish(connection, finished, hooks, now)
    errors = {row["item_id"]: row["error_type"] for row in by_statement.failed}
    return {id_: Settled(end, errors.get(id_)) for id_, end in settled.items()}


_END = {ItemState.SUCCEEDED: Settlement.SUCCEEDED, ItemState.DEAD: Settlement.DEAD}


def _sort(done: Done, into: _Sorted, *, now: datetime, worker: str) -> None:
    match done.outcome:
        case Failure() as failure:
            _sort_failure(done, failure, into, now=now, worker=worker)
        case Classification() as classification if Stage.ENRICH in done.definition.stages:
            into.advancing.append(_keys(done.row) | _classified(classification))
        case Classification() as classification:
            into.final.append(
                _final(done.row, ItemState.SUCCEEDED) | _classified(classification) | {"classified_at": now}
            )
        case Enrichment(values):
            into.final.append(_final(done.row, ItemState.SUCCEEDED) | {"enrichment": _json(values)})


def _sort_failure(done: Done, failure: Failure, into: _Sorted, *, now: datetime, worker: str) -> None:
    row = done.row
    decision = decide(
        failure,
        attempt=row["attempt"],
        snoozes=row["snoozes"],
        max_attempts=done.definition.retry.max_attempts,
        backoff=done.definition.backoff,
    )
    error = _error(failure, done.stage)
    if isinstance(decision, GiveUp):
        into.final.append(_final(row, ItemState.DEAD) | error)
        outcome = "dead"
    else:
        snoozed = 0 if decision.counts else 1
        into.waiting.append(
            _keys(row)
            | {
                "due_at": now + decision.delay,
                "attempt": row["attempt"] - snoozed,
                "snoozes": row["snoozes"] + snoozed,
            }
            | error
        )
        outcome = "retry" if decision.counts else "snoozed"
    into.failed.append(_attempt(done, failure, outcome, now=now, worker=worker))


def _keys(row: Row) -> Row:
    return {"id": row["id"], "epoch": row["epoch"]}


def _final(row: Row, state: ItemState) -> Row:
    return _keys(row) | {"state": state.value}


def _classified(classification: Classification) -> Row:
    content: dict[str, Any] = {"label": classification.label, "confidence": classification.confidence}
    if classification.scores is not None:
        content["scores"] = dict(classification.scores)
    return {
        "label": classification.label,
        "confidence": classification.confidence,
        "classification": _json(content),
    }


def _error(failure: Failure, stage: Stage) -> Row:
    return {
        "error_kind": failure.kind.value,
        "error_type": failure.type,
        "error_message": failure.message,
        "error_stage": stage.value,
    }


def _attempt(done: Done, failure: Failure, outcome: str, *, now: datetime, worker: str) -> Row:
    return {
        "item_id": done.row["id"],
        "stage": done.stage.value,
        "number": done.row["attempt"],
        "outcome": outcome,
        "error_type": failure.type,
        "error_message": failure.message,
        "started_at": done.started_at,
        "ended_at": now,
        "worker": worker,
    }


def _json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY).decode()


def unstorable(done: Done, error: Exception) -> Done:
    """The same item as a permanent failure: what it gave cannot be written, whatever is tried."""
    failure = Failure(FailureKind.PERMANENT, "unstorable", f"its result cannot be stored: {type(error).__name__}")
    return Done(done.row, done.stage, done.definition, failure, done.started_at)
