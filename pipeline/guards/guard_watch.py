"""Count failures for the guards of batches, in the transaction that records them, and say which guards fire."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

import orjson
from sqlalchemy import Connection

from pipeline.alerts.episodes import open_episode, resolve_episode
from pipeline.alerts.rules.episode import Episode, Severity
from pipeline.alerts.rules.evidence import GuardEvidence
from pipeline.alerts.rules.observations import QUIET_OBSERVATIONS, Observation, Verdict, is_quiet, judge
from pipeline.database.row import Row
from pipeline.domain.alerts.guard import Guard, GuardAction, GuardState, read_guard
from pipeline.guards.sql import guards

#: How long a process remembers that a batch has no guard.
_REMEMBERED_SECONDS = 2.0
#: Batches that it remembers.
_MOST_REMEMBERED = 10_000

#: Observations by the id of their batch.
Seen = Mapping[int, Counter[Observation]]


class Fired(NamedTuple):
    """A guard that has just fired."""

    batch_id: int
    name: str
    action: GuardAction


class GuardMemory:
    """Remembers for a moment which batches have no guards, so that these cost nothing. For one thread."""

    def __init__(self) -> None:
        self._until: dict[int, float] = {}

    def find_guarded(self, connection: Connection, batch_ids: Iterable[int]) -> set[int]:
        """Return which of these batches have guards."""
        now = time.monotonic()
        unknown = [each for each in batch_ids if self._until.get(each, 0.0) <= now]
        if not unknown:
            return set()
        guarded = guards.find_guarded(connection, unknown)
        if len(self._until) > _MOST_REMEMBERED:
            self._until.clear()
        self._until.update(dict.fromkeys(set(unknown) - guarded, now + _REMEMBERED_SECONDS))
        return guarded


def guard_key(batch_id: int, name: str) -> str:
    """Return the key of the alert of a guard."""
    return f"guard:{batch_id}:{name}"


def observe(connection: Connection, seen: Seen, batch_ids: Collection[int], now: datetime) -> list[Fired]:
    """Count observations for the guards of batches, and open an alert for each guard that fires.

    The rows of the batches are locked. The caller does what the guards say.

    Args:
        seen: what was observed.
        batch_ids: the batches with guards.
    """
    found = []
    for row in guards.lock_of(connection, batch_ids):
        guard = read_guard(orjson.loads(row["settings"]))
        of_batch = seen.get(row["batch_id"])
        if not of_batch:
            continue
        if row["state"] == GuardState.FIRED:
            _count_fired(connection, row, guard, of_batch, now)
            continue
        evidence, failures = _evidence(row), row["failures"]
        verdict = judge(guard, evidence, failures, of_batch, total=row["total"], now=now)
        if verdict.summary is not None:
            _fire(connection, row, guard, verdict, now)
            found.append(Fired(row["batch_id"], row["name"], GuardAction(guard.action)))
        elif (verdict.evidence, verdict.failures) != (evidence, failures):
            guards.save(connection, row["id"], guards.counted_columns(verdict.evidence, verdict.failures))
    return found


def _evidence(row: Row) -> GuardEvidence:
    return GuardEvidence(row["score"], row["observed"], row["failed"], row["since"])


def _fire(connection: Connection, row: Row, guard: Guard, verdict: Verdict, now: datetime) -> None:
    evidence = verdict.evidence
    fired = {
        **guards.counted_columns(evidence, verdict.failures),
        "state": GuardState.FIRED.value,
        "episode": row["episode"] + 1,
        "fired_at": now,
        "summary": verdict.summary,
    }
    guards.save(connection, row["id"], fired)
    value = {
        "rate": evidence.share,
        "failures": evidence.failed if guard.rate is not None else verdict.failures,
        "observed": evidence.observed,
        "threshold": guard.rate if guard.rate is not None else guard.count,
        "guard": guard.name,
        "action": guard.action,
    }
    done = {GuardAction.ALERT: "", GuardAction.PAUSE: "paused by ", GuardAction.CANCEL: "cancelled by "}
    episode = Episode(
        name=f"guard:{guard.name}",
        key=guard_key(row["batch_id"], guard.name),
        severity=Severity(guard.severity),
        summary=f"batch {row['public_id']}: {done[GuardAction(guard.action)]}guard {guard.name}: {verdict.summary}",
        batch_id=row["batch_id"],
        value=value,
    )
    open_episode(connection, episode, now)


def _count_fired(connection: Connection, row: Row, guard: Guard, seen: Counter[Observation], now: datetime) -> None:
    """Count on while a guard has fired; one that only alerts watches again once failures are rare.

    Its row then holds what was observed since it has fired, in blocks.
    """
    if guard.action != GuardAction.ALERT or guard.rate is None:
        return
    before = _evidence(row) if row["score"] == 0 else GuardEvidence()
    counted = judge(guard, GuardEvidence(), 0, seen, total=row["total"], now=now)
    observed = sum(number for each, number in seen.items() if each.of == guard.of and guard.stage in (None, each.stage))
    block = GuardEvidence(0.0, before.observed + observed, before.failed + counted.failures, now)
    failures = row["failures"] + counted.failures
    if is_quiet(guard, block):
        guards.save(
            connection,
            row["id"],
            {**guards.counted_columns(GuardEvidence(), 0), "state": GuardState.WATCHING.value},
        )
        resolve_episode(connection, guard_key(row["batch_id"], guard.name), "recovered", now)
    else:
        block = GuardEvidence() if block.observed >= QUIET_OBSERVATIONS else block
        guards.save(connection, row["id"], guards.counted_columns(block, failures))
