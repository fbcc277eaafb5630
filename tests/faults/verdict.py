"""The verdict on a trial: which invariants are violated, with the rows that say so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import select

from pipeline.database.row import Row, rows
from pipeline.database.tables import batches, deliveries, events, items
from pipeline.domain.ids import webhook_id
from tests.faults.trial import Trial

_FINAL = ("succeeded", "dead", "cancelled")
#: How each kind of item ends; of any other, each succeeds.
_DEATHS = {"fatal": "Permanent", "poison": "worker_died"}
#: Rows that a violation shows.
_SHOWN = 5


def violations(trial: Trial) -> list[str]:
    """Return what does not hold of a trial that has settled."""
    with trial.site.context.database.read() as connection:
        batch = rows(connection.execute(select(batches).where(batches.c.id == trial.row_id)))[0]
        found = rows(connection.execute(select(items).where(items.c.batch_id == trial.row_id)))
        log = rows(connection.execute(select(events).where(events.c.batch_id == trial.row_id).order_by(events.c.seq)))
        owed = rows(connection.execute(select(deliveries).where(deliveries.c.batch_id == trial.row_id)))
    broken = [
        *_of_items(trial, found),
        *_of_counters(trial, batch, found),
        *_of_events(trial, batch, found, log),
        *_of_deliveries(trial, log, owed),
        *_of_receiver(trial, log),
    ]
    return [f"batch {trial.batch_id}: {each}" for each in broken]


def _of_items(trial: Trial, found: Sequence[Row]) -> Iterator[str]:
    yield from _unless(not (bad := [row for row in found if row["state"] not in _FINAL]), "items are not final", bad)
    missing = sorted(set(trial.kinds) - {row["position"] for row in found})
    yield from _unless(not missing, "items are missing", missing)
    bad = [row for row in found if row["state"] == "dead" and row["error_type"] != _death(trial, row)]
    yield from _unless(not bad, "items are dead that should not be, or of something else", bad)
    bad = [row for row in found if row["state"] == "succeeded" and _death(trial, row)]
    yield from _unless(not bad, "items succeeded that cannot", bad)
    bad = [row for row in found if row["state"] == "cancelled" and not trial.is_cancelled]
    yield from _unless(not bad, "items are cancelled that nobody cancelled", bad)
    bad = [row for row in found if row["state"] == "succeeded" and not (row["label"] and row["enrichment"])]
    yield from _unless(not bad, "items succeeded without a result", bad)


def _death(trial: Trial, row: Row) -> str | None:
    return _DEATHS.get(trial.kinds[row["position"]])


def _of_counters(trial: Trial, batch: Row, found: Sequence[Row]) -> Iterator[str]:
    true = Counter(row["state"] for row in found)
    counted = {state: batch[state] for state in _FINAL}
    yield from _unless(counted == {state: true[state] for state in _FINAL}, "counters are not rows", [counted, true])
    yield from _unless(batch["total"] == trial.total, "the total is wrong", [batch])
    ends = "cancelled" if trial.is_cancelled else "completed"
    yield from _unless(batch["state"] == ends and batch["completed_at"] is not None, f"it is not {ends}", [batch])


def _of_events(trial: Trial, batch: Row, found: Sequence[Row], log: Sequence[Row]) -> Iterator[str]:
    position = {row["id"]: row["position"] for row in found}
    expected = {row["id"]: 2 if row["position"] in trial.replayed else 1 for row in found}
    counted = Counter(event["item_id"] for event in log if event["item_id"] is not None)
    bad = [(position.get(id_), counted[id_]) for id_ in expected.keys() | counted if counted[id_] != expected.get(id_)]
    yield from _unless(not bad, "items have not exactly one event an end (position, events)", bad)
    seqs = [event["seq"] for event in log]
    yield from _unless(seqs == list(range(1, batch["next_seq"])), "the log has gaps", [seqs, batch["next_seq"]])
    ends = [event["seq"] for event in log if event["type"] == "batch.completed"]
    times = 2 if trial.replayed else 1
    yield from _unless(len(ends) == times and ends[-1:] == seqs[-1:], "batch.completed is not once and last", ends)


def _of_deliveries(trial: Trial, log: Sequence[Row], owed: Sequence[Row]) -> Iterator[str]:
    seqs = sorted(row["seq"] for row in owed)
    yield from _unless(seqs == [event["seq"] for event in log], "not every event is owed once", [len(seqs), len(log)])
    bad = [row for row in owed if row["state"] != "delivered"]
    yield from _unless(not bad, "callbacks are not delivered", bad)


def _of_receiver(trial: Trial, log: Sequence[Row]) -> Iterator[str]:
    receiver = trial.site.receiver
    bad: list[Any] = []
    for event in log:
        bodies = receiver.bodies.get(webhook_id(trial.batch_id, event["seq"]), [])
        if set(bodies) != {bytes(event["body"])}:
            bad.append((event["seq"], len(bodies), len(set(bodies))))
    yield from _unless(not bad, "the receiver has not one body of each event (seq, arrivals, bodies)", bad)
    yield from _unless(not receiver.unverified, "signatures were wrong", [receiver.unverified])


def _unless(holds: bool, what: str, evidence: Sequence[Any]) -> Iterator[str]:
    if not holds:
        shown = "".join(f"\n    {each}" for each in evidence[:_SHOWN])
        yield f"{what}: {len(evidence)}{shown}"
