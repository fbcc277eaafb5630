"""The guards of batches: add, list, change, reset and remove them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection

from pipeline.alerts.episodes import resolve_episode
from pipeline.database.row import Row
from pipeline.domain.alerts.guard import (
    Guard,
    GuardState,
    changed,
    guard_json,
    merged,
    read_guard,
    resets_evidence,
    smallest_in_flight,
)
from pipeline.domain.bounds import shown
from pipeline.errors import NotFound
from pipeline.guards.guard_watch import guard_key
from pipeline.guards.sql import guards as stored_guards


@dataclass(frozen=True, slots=True)
class GuardStatus:
    """A guard of a batch, and what it has counted.

    Args:
        guard: Its settings.
        state: `watching`, or `fired` until the batch is resumed or the guard is reset.
        score: GuardEvidence that failures are too frequent; above 7 it fires.
        observed: What it has counted since `since`.
        failed: How many of these failed.
        failures: Failures since the last reset.
        episode: How often it has fired.
        summary: What it said when it fired last.
        updated_by: Who set it last.
    """

    guard: Guard
    state: GuardState
    score: float
    observed: int
    failed: int
    since: datetime | None
    failures: int
    episode: int
    fired_at: datetime | None
    summary: str | None
    updated_at: datetime
    updated_by: str

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values, but for its times."""
        names = ("score", "observed", "failed", "since", "failures", "episode", "fired_at", "summary")
        values = {name: getattr(self, name) for name in (*names, "updated_at", "updated_by")}
        settings = {name: getattr(self.guard, name) for name in _SETTINGS} | {"errors": list(self.guard.errors)}
        return {"name": self.guard.name, "state": self.state.value, **settings, **values}


_SETTINGS = ("rate", "count", "of", "stage", "errors", "in_flight", "action", "severity")


def add_guards(connection: Connection, batch_id: int, guards: Sequence[Guard], *, by: str, now: datetime) -> None:
    """Add guards to a batch that is being submitted."""
    if not guards:
        return
    stored_guards.insert_guards(connection, [_row(batch_id, each, by, now) for each in guards])
    stored_guards.limit_in_flight(connection, batch_id, smallest_in_flight(guards))


def find_guards(connection: Connection, batch_id: int) -> list[GuardStatus]:
    """Return the guards of a batch, by name."""
    return [_status(row) for row in stored_guards.find_of(connection, batch_id)]


def set_guard(
    connection: Connection, batch_id: int, name: str, changes: Mapping[str, Any], *, by: str, now: datetime
) -> GuardStatus:
    """Change fields of a guard, or add one, in a transaction that has locked the batch. Return the guard.

    What it has counted stays unless what it counts has changed.

    Raises:
        InvalidInput: a field is unknown or invalid.
    """
    known = stored_guards.find_of(connection, batch_id)
    row = next((row for row in known if row["name"] == name), None)
    before = None if row is None else _guard(row)
    after = read_guard({**changes, "name": name}) if before is None else changed(before, changes)
    all_guards = merged([_guard(each) for each in known], [after])
    if row is None or before is None:
        stored_guards.insert_guards(connection, [_row(batch_id, after, by, now)])
    else:
        values = {"settings": _settings(after), **stored_guards.changed_at(by, now)}
        if resets_evidence(before, after) and row["state"] == GuardState.WATCHING:
            values |= {"score": 0.0, "observed": 0, "failed": 0, "since": None}
        stored_guards.save(connection, row["id"], values)
    stored_guards.limit_in_flight(connection, batch_id, smallest_in_flight(all_guards))
    return next(each for each in find_guards(connection, batch_id) if each.guard.name == name)


def remove_guard(connection: Connection, batch_id: int, name: str, now: datetime) -> None:
    """Remove a guard, in a transaction that has locked the batch.

    Raises:
        NotFound: the batch has no such guard.
    """
    known = stored_guards.find_of(connection, batch_id)
    row = _named(known, name)
    stored_guards.remove(connection, row["id"])
    rest = [_guard(each) for each in known if each["name"] != name]
    stored_guards.limit_in_flight(connection, batch_id, smallest_in_flight(rest))
    resolve_episode(connection, guard_key(batch_id, name), "removed", now)


def reset_guard(connection: Connection, batch_id: int, name: str, now: datetime) -> None:
    """Let a guard count from nothing.

    Raises:
        NotFound: the batch has no such guard.
    """
    _named(stored_guards.find_of(connection, batch_id), name)
    stored_guards.reset_fired(connection, batch_id, name=name)
    resolve_episode(connection, guard_key(batch_id, name), "reset", now)


def reset_fired(connection: Connection, batch_id: int, now: datetime) -> list[str]:
    """Let the guards of a batch that have fired count from nothing, as it is resumed. Return their names."""
    names = stored_guards.reset_fired(connection, batch_id)
    for name in names:
        resolve_episode(connection, guard_key(batch_id, name), "resumed", now)
    return names


def end_alerts(connection: Connection, batch_id: int, reason: str, now: datetime) -> None:
    """Resolve the alerts of the guards of a batch."""
    for row in stored_guards.find_of(connection, batch_id):
        resolve_episode(connection, guard_key(batch_id, row["name"]), reason, now)


def _named(known: Sequence[Row], name: str) -> Row:
    found = next((row for row in known if row["name"] == name), None)
    if found is None:
        names = ", ".join(row["name"] for row in known) or "none"
        raise NotFound(f"the batch has no guard {shown(name)}; its guards: {names}")
    return found


def _row(batch_id: int, guard: Guard, by: str, now: datetime) -> Row:
    return {
        "batch_id": batch_id,
        "name": guard.name,
        "settings": _settings(guard),
        **stored_guards.changed_at(by, now),
    }


def _settings(guard: Guard) -> str:
    return orjson.dumps(guard_json(guard)).decode()


def _guard(row: Row) -> Guard:
    return read_guard(orjson.loads(row["settings"]))


def _status(row: Row) -> GuardStatus:
    names = ("score", "observed", "failed", "since", "failures", "episode", "fired_at", "summary")
    return GuardStatus(
        guard=_guard(row),
        state=GuardState(row["state"]),
        **{name: row[name] for name in (*names, "updated_at", "updated_by")},
    )
