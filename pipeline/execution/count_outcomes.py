"""Count what becomes of items at stages, a whole group at a time."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime

from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.domain.item import Stage
from pipeline.domain.outcome import Failure, FailureKind
from pipeline.execution.disposition import Disposition, DispositionKind
from pipeline.execution.record import Done
from pipeline.telemetry.families import (
    ATTEMPT_SECONDS,
    ATTEMPTS,
    ERRORS,
    ITEM_SECONDS,
    MICROBATCH_ITEMS,
    QUEUE_SECONDS,
    STATEMENT_SECONDS,
)

#: The definition of items that were not claimed here: their messages do not name it.
UNKNOWN = "unknown"

_OUTCOME = {
    DispositionKind.ADVANCED: "succeeded",
    DispositionKind.HELD: "succeeded",
    DispositionKind.SUCCEEDED: "succeeded",
    DispositionKind.PUT_OFF: "retry",
    DispositionKind.DEAD: "dead",
    DispositionKind.STALE: "stale",
    DispositionKind.LOST: "lost",
    DispositionKind.HANDED_BACK: "handed_back",
}
_UNWRITTEN = (DispositionKind.STALE, DispositionKind.LOST)
_FINAL = {DispositionKind.SUCCEEDED: "succeeded", DispositionKind.DEAD: "dead"}


def count_claimed(context: Context, stage: Stage, rows: Sequence[Row], seconds: float) -> None:
    """Count a micro-batch that was claimed in so many seconds, and how long its items had waited for that."""
    meter, now = context.meter, context.now()
    meter.observe(MICROBATCH_ITEMS, (stage.value,), [len(rows)])
    meter.observe(STATEMENT_SECONDS, ("claim",), [seconds])
    since = [_released_at(stage, row) for row in rows]
    meter.observe(QUEUE_SECONDS, (stage.value,), [(now - at).total_seconds() for at in since if at is not None])


def _released_at(stage: Stage, row: Row) -> datetime | None:
    """Return when the message of an item's first attempt at a stage was made. That of others is stored nowhere."""
    if row["attempt"] > 1 or row["snoozes"] or row["crashes"]:
        return None
    return row.get("queued_at" if stage is Stage.CLASSIFY else "classified_at")


def count_unrun(context: Context, stage: Stage, disposition: Disposition, number: int) -> None:
    """Count items that were not run, or whose outcomes were lost."""
    if context.meter.is_on and number:
        context.meter.add(ATTEMPTS, (UNKNOWN, stage.value, _OUTCOME[disposition.kind]), number)


def count_recorded(context: Context, done: Sequence[Done], dispositions: Mapping[int, Disposition]) -> None:
    """Count outcomes that are recorded, or lost."""
    meter = context.meter
    if not meter.is_on:
        return
    group = _grouped(done, dispositions)
    for family, numbers in ((ATTEMPTS, group.attempts), (ERRORS, group.errors)):
        for labels, number in numbers.items():
            meter.add(family, labels, number)
    for of_stage, values in group.lasted.items():
        meter.observe(ATTEMPT_SECONDS, of_stage, values)
    for state, values in group.lived.items():
        meter.observe(ITEM_SECONDS, (state,), values)


class _Group:
    """Outcomes that are counted together, by the labels of their families.

    Enumerations are slow to hash, so labels are looked up once for each run of items that have them in common.
    """

    def __init__(self) -> None:
        self.attempts: Counter[tuple[str, str, str]] = Counter()
        self.errors: Counter[tuple[str, str, str]] = Counter()
        self.lasted: dict[tuple[str, str], list[float]] = defaultdict(list)
        self.lived: dict[str, list[float]] = defaultdict(list)
        self._first: Done | None = None
        self._kind: DispositionKind | None = None
        #: Successes of the run, each of which has lasted so long.
        self._lasted: list[float] = []
        self._lived: list[float] | None = None

    def add(self, done: Done, kind: DispositionKind) -> None:
        """Add what became of an item."""
        first = self._first
        if (
            first is None
            or kind is not self._kind
            or done.stage is not first.stage
            or done.definition is not first.definition
        ):
            self.end_run()
            self._begin_run(done, kind)
        if isinstance(done.outcome, Failure):
            self._add_failure(done, done.outcome, kind)
        else:
            self._lasted.append((done.ended_at - done.started_at).total_seconds())
        if self._lived is not None:
            created_at = done.row.get("created_at")
            if created_at is not None:
                self._lived.append((done.ended_at - created_at).total_seconds())

    def _begin_run(self, done: Done, kind: DispositionKind) -> None:
        self._first, self._kind, self._lasted = done, kind, []
        self._lived = self.lived[_FINAL[kind]] if kind in _FINAL else None

    def end_run(self) -> None:
        """Count the successes of the run."""
        if self._first is not None and self._kind is not None and self._lasted:
            stage = self._first.stage.value
            self.attempts[self._first.definition.name, stage, _OUTCOME[self._kind]] += len(self._lasted)
            self.lasted[stage, "succeeded"] += self._lasted
        self._first = None

    def _add_failure(self, done: Done, failure: Failure, kind: DispositionKind) -> None:
        stage, outcome = done.stage.value, _OUTCOME[kind]
        self.lasted[stage, "failed"].append((done.ended_at - done.started_at).total_seconds())
        if kind not in _UNWRITTEN:
            self.errors[stage, failure.kind.value, failure.type] += 1
            if kind is DispositionKind.PUT_OFF and failure.kind is FailureKind.THROTTLED:
                outcome = "snoozed"
        self.attempts[done.definition.name, stage, outcome] += 1


def _grouped(done: Sequence[Done], dispositions: Mapping[int, Disposition]) -> _Group:
    """Return outcomes as they are counted: stage by stage, so that what follows on each other is mostly alike."""
    group = _Group()
    for each in done:
        if each.before is not None:
            kind = dispositions[each.row["id"]].kind
            group.add(each.before, kind if kind in _UNWRITTEN else DispositionKind.ADVANCED)
    for each in done:
        group.add(each, dispositions[each.row["id"]].kind)
    group.end_run()
    return group
