"""Record the outcomes of a stage: one transaction for a group of items, with a separate decision for each item."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection

from pipeline.alerts.rules.observations import Observation
from pipeline.batches.finish import finish
from pipeline.batches.sql import attempts
from pipeline.database.locks import lock_rows
from pipeline.database.row import Row
from pipeline.database.tables import items
from pipeline.definitions import Definition, make_backoff
from pipeline.domain.alerts.guard import GuardCounts
from pipeline.domain.cause import find_cause
from pipeline.domain.item import Classification, Enrichment, ItemState, Stage
from pipeline.domain.outcome import Failure, FailureKind, GiveUp, Outcome, decide_retry
from pipeline.execution.disposition import Disposition, DispositionKind
from pipeline.execution.guard_keeper import GuardKeeper
from pipeline.execution.sql import outcomes
from pipeline.execution.sql.releases import Ref
from pipeline.hooks import Hooks
from pipeline.telemetry.traceparent import TraceContext


class Done(NamedTuple):
    """The outcome of a claimed item at a stage.

    Args:
        batch: public id of its batch.
        enrichment: the result as JSON, if the outcome is an enrichment.
        continues: this process goes on with the item's next stage under the same claim.
        is_durable: it does so only once this outcome is committed.
        before: the outcome of the stage before, if that is not stored yet.
        submission: the span that submitted its batch.
        submitted_at: when that was.
    """

    row: Row
    stage: Stage
    definition: Definition
    outcome: Outcome
    started_at: datetime
    ended_at: datetime
    batch: str
    enrichment: str | None = None
    continues: bool = False
    is_durable: bool = False
    before: Done | None = None
    submission: TraceContext | None = None
    submitted_at: datetime | None = None

    @property
    def ref(self) -> Ref:
        return Ref(self.row["id"], self.row["epoch"])

    @property
    def bytes(self) -> int:
        """The bytes of its result, if that may be large."""
        return len(self.enrichment or "")


def enrichment_json(outcome: Outcome) -> str | None:
    """Return an outcome as JSON, if it is an enrichment."""
    return _json(outcome.values) if isinstance(outcome, Enrichment) else None


@dataclass(slots=True)
class _Sorted:
    """Rows by the statement that writes them."""

    advancing: list[Row] = field(default_factory=list)
    waiting: list[Row] = field(default_factory=list)
    final: list[Row] = field(default_factory=list)
    failed: list[Row] = field(default_factory=list)

    @property
    def is_mixed(self) -> bool:
        return sum(map(bool, (self.advancing, self.waiting, self.final))) > 1


def record(
    connection: Connection,
    done: Sequence[Done],
    *,
    now: datetime,
    lease: timedelta,
    worker: str,
    hooks: Hooks,
    guards: GuardKeeper | None = None,
) -> dict[int, Disposition]:
    """Write a group of outcomes in the caller's transaction.

    An item changes only if it still runs under the epoch with which it was claimed.

    Args:
        lease: how long the next stage's message has to be claimed.
        worker: the name of this process, for the log of attempts.
        hooks: called with the events of items and batches that become final.
        guards: counts failures for the guards of batches; None: nothing is counted.

    Returns:
        The disposition of each item, by its id.
    """
    by_statement = _Sorted()
    for each in done:
        _sort(each, by_statement, now=now, worker=worker)
    kinds = {each.row["id"]: DispositionKind.STALE for each in done}
    if by_statement.is_mixed:
        # Each statement locks its own rows in order; one after another, they would not.
        lock_rows(connection, items, list(kinds))
    if by_statement.advancing:
        states = outcomes.advance(connection, by_statement.advancing, now=now, lease_until=now + lease)
        if len(states) < len(by_statement.advancing):
            missing = [row for row in by_statement.advancing if row["id"] not in states]
            states |= outcomes.find_advanced(connection, missing)
        kinds |= {id_: _HELD_OR_ADVANCED[state is ItemState.PENDING] for id_, state in states.items()}
    if by_statement.waiting:
        kinds.update(dict.fromkeys(outcomes.put_off(connection, by_statement.waiting), DispositionKind.PUT_OFF))
    finished = outcomes.finish(connection, by_statement.final, now=now) if by_statement.final else []
    kinds.update({row["id"]: _KIND[row["state"]] for row in finished})
    attempts.add(connection, [row for row in by_statement.failed if kinds[row["item_id"]] is not DispositionKind.STALE])
    guarded = set() if guards is None else guards.lock_guarded(connection, {each.row["batch_id"] for each in done})
    if finished:
        finish(connection, finished, hooks, now)
    if guards is not None and guarded:
        guards.observe(connection, count_outcomes(done, kinds, guarded), guarded, now)
    errors = {row["item_id"]: row["error_type"] for row in by_statement.failed}
    return {
        id_: Disposition(kind, errors[id_]) if id_ in errors else _WITHOUT_ERROR[kind] for id_, kind in kinds.items()
    }


_HELD_OR_ADVANCED = {True: DispositionKind.HELD, False: DispositionKind.ADVANCED}
_KIND = {ItemState.SUCCEEDED: DispositionKind.SUCCEEDED, ItemState.DEAD: DispositionKind.DEAD}
#: One object for all items, since most of them succeed.
_WITHOUT_ERROR = {kind: Disposition(kind) for kind in DispositionKind}


def count_outcomes(
    done: Sequence[Done], kinds: Mapping[int, DispositionKind], batch_ids: Collection[int]
) -> dict[int, Counter[Observation]]:
    """Return what guards of these batches count: the recorded outcomes, by batch."""
    found: dict[int, Counter[Observation]] = defaultdict(Counter)
    for each in done:
        kind = kinds[each.row["id"]]
        if each.row["batch_id"] not in batch_ids or kind is DispositionKind.STALE:
            continue
        seen, failure = found[each.row["batch_id"]], each.outcome if isinstance(each.outcome, Failure) else None
        error = None if failure is None else failure.type
        if each.before is not None:
            seen[Observation(GuardCounts.ATTEMPTS, each.before.stage.value, None)] += 1
        is_snoozed = kind is DispositionKind.PUT_OFF and failure is not None and failure.kind is FailureKind.THROTTLED
        if not is_snoozed:
            seen[Observation(GuardCounts.ATTEMPTS, each.stage.value, error)] += 1
        if kind in (DispositionKind.SUCCEEDED, DispositionKind.DEAD):
            seen[Observation(GuardCounts.ITEMS, each.stage.value, error)] += 1
    return found


def _sort(done: Done, into: _Sorted, *, now: datetime, worker: str) -> None:
    match done.outcome:
        case Failure() as failure:
            _sort_failure(done, failure, into, now=now, worker=worker)
        case Classification() as classification if done.stage is not done.definition.stages[-1]:
            into.advancing.append(_advancing(done) | _classified(classification))
        case Classification() as classification:
            into.final.append(
                _final(done, ItemState.SUCCEEDED) | _classified(classification) | {"classified_at": done.ended_at}
            )
        case Enrichment():
            into.final.append(_final(done, ItemState.SUCCEEDED) | {"enrichment": done.enrichment})


def _sort_failure(done: Done, failure: Failure, into: _Sorted, *, now: datetime, worker: str) -> None:
    row = done.row
    decision = decide_retry(
        failure,
        attempt=row["attempt"],
        snoozes=row["snoozes"],
        max_attempts=done.definition.retry.max_attempts,
        backoff=make_backoff(done.definition.retry),
    )
    error = _error(failure, done.stage)
    if isinstance(decision, GiveUp):
        cause = find_cause(done.stage.value, failure.kind.value, failure.type, failure.message)
        into.final.append(_final(done, ItemState.DEAD) | error | {"cause": cause.id})
        outcome = "dead"
    else:
        uncounted = 0 if decision.counts_attempt else 1
        changes = _changes(done)
        into.waiting.append(
            changes
            | {
                "due_at": now + decision.delay,
                "attempt": row["attempt"] - uncounted,
                "snoozes": row["snoozes"] + decision.counts_snooze,
                # An attempt that is not counted at this stage is not counted in the total either.
                "counted": changes["counted"] - uncounted,
            }
            | error
        )
        if failure.is_waiting:
            # All items of a batch may wait, again and again.
            return
        outcome = "retry" if decision.counts_attempt else "snoozed"
    into.failed.append(_attempt(done, failure, outcome, now=now, worker=worker))


def _advancing(done: Done) -> Row:
    state = ItemState.RUNNING if done.continues else ItemState.QUEUED
    has_begun = done.continues and not done.is_durable
    return {"id": done.row["id"], "epoch": done.row["epoch"], "state": state.value, "has_begun": int(has_begun)}


def _changes(done: Done) -> Row:
    """Return the release that an outcome is of, and what it says of the item's stage and attempts."""
    row, before = done.row, done.before
    changes = {
        "id": row["id"],
        "epoch": row["epoch"],
        "stored_stage": done.stage.value,
        "stage": done.stage.value,
        "attempt": row["attempt"],
        "snoozes": row["snoozes"],
        "counted": 0,
    }
    if before is None or not isinstance(before.outcome, Classification):
        return changes
    # With the classification, the attempt at this stage is not stored yet either.
    stored = {"stored_stage": before.stage.value, "counted": 1, "classified_at": before.ended_at}
    return changes | stored | _classified(before.outcome)


def _final(done: Done, state: ItemState) -> Row:
    return _changes(done) | {"state": state.value}


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
        "answer": failure.answer,
    }


def _json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY).decode()


def unstorable(done: Done, error: Exception) -> Done:
    """Return the item's outcome as a permanent failure: its result cannot be written, however often it is tried."""
    failure = Failure(FailureKind.PERMANENT, "unstorable", f"its result cannot be stored: {type(error).__name__}")
    return done._replace(outcome=failure, enrichment=None, continues=False)
