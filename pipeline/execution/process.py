"""Run one stage on a list of released items: claim, run, record. Each item's outcome is its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime

import orjson

from pipeline.context import Context
from pipeline.database.retry import retrying
from pipeline.database.row import Row
from pipeline.definitions import Definition
from pipeline.domain.ids import item_id
from pipeline.domain.item import Stage, WorkItem
from pipeline.domain.outcome import Failure, FailureKind, Outcome
from pipeline.errors import PipelineError
from pipeline.execution.record import Done, Settled, Settlement
from pipeline.execution.record_thread import RecordThread, Settle
from pipeline.execution.rescue import unsent
from pipeline.execution.runner_cache import RunnerCache, Work
from pipeline.execution.sql import releases
from pipeline.execution.sql.releases import Ref
from pipeline.execution.stop_gate import StopGate
from pipeline.log import get_logger
from pipeline.stages.run.executor import Executor

log = get_logger(__name__)

#: Bytes of payload in one call of a stage.
CALL_BYTES = 8 * 1024 * 1024


class StageProcessor:
    """Runs stages in this process. Thread-safe: several lists may be under way at once."""

    def __init__(self, context: Context, executor: Executor, recorder: RecordThread) -> None:
        self._context = context
        self._gate = StopGate()
        self._runners = RunnerCache(context, executor, stopping=self._gate.closed)
        self._recorder = recorder
        self._under_way: dict[Ref, None] = {}

    def close(self) -> None:
        """Begin nothing more; what is under way goes on."""
        self._gate.closed.set()

    def is_claiming(self) -> bool:
        """Return whether items are being claimed: what comes of it is under way a moment later."""
        return self._gate.is_in_use()

    def under_way(self) -> list[Ref]:
        """Return the items that are claimed here and not settled yet: those whose leases are to be kept.

        What is lost on the way by an error of ours is not among them, so that its lease runs out.
        """
        return list(self._under_way)

    def process(self, stage: Stage, refs: Sequence[Ref], settle: Settle) -> None:
        """Claim and run `refs`; `settle` hears of every one of them once, in groups as they are recorded.

        Returns when what is quick is done and the rest is under way. After `close`, nothing is run.
        """
        with self._gate.passing() as is_open:
            claimed = self._claim(stage, refs) if is_open else []
        if not is_open:
            self._turn_away(refs, settle)
            return
        stale = _without(refs, claimed)
        if stale:
            settle(dict.fromkeys(stale, Settled(Settlement.STALE)))
        self._run(stage, claimed, settle)

    def _claim(self, stage: Stage, refs: Sequence[Ref]) -> list[Row]:
        """Claim what is still to be claimed. A database that is away is waited for: the messages are here, and safe.

        What was claimed although the connection was lost in the commit is not claimed again: its lease runs out.
        """
        context = self._context

        def claim() -> list[Row]:
            now = context.now()
            with context.database.write_once() as connection:
                return releases.claim(
                    connection,
                    stage,
                    refs,
                    now=now,
                    lease_until=now + context.lease,
                    worker=context.worker,
                )

        claimed = retrying(claim, patience=context.lease, stopping=self._gate.closed)
        self._under_way.update((_ref(row), None) for row in claimed)
        return claimed

    def _turn_away(self, refs: Sequence[Ref], settle: Settle) -> None:
        """Make released items pending again, so that another process need not wait for the end of their leases."""
        unsent(self._context, refs)
        settle({ref.id: Settled(Settlement.HANDED_BACK) for ref in refs})

    def _run(self, stage: Stage, claimed: Sequence[Row], settle: Settle) -> None:
        # By release, not by item: an item that lost its lease may be running here twice, and only one of them ends.
        mine = {row["id"]: _ref(row) for row in claimed}

        def settle_and_forget(settled: Mapping[int, Settled]) -> None:
            for id_ in settled:
                self._under_way.pop(mine[id_], None)
            settle(settled)

        by_batch: dict[int, list[Row]] = defaultdict(list)
        for row in claimed:
            by_batch[row["batch_id"]].append(row)
        for batch_id, rows in by_batch.items():
            self._run_rows(stage, batch_id, rows, settle_and_forget)

    def _run_rows(self, stage: Stage, batch_id: int, rows: list[Row], settle: Settle) -> None:
        """Run rows of one batch as soon as its definition is built; an error of ours loses them to their leases."""

        def ready(work: Work | Exception) -> None:
            try:
                if isinstance(work, Exception):
                    raise work
                for call in _by_size(rows):
                    self._call(stage, work, call, settle)
            except Exception:
                log.exception("items_lost", stage=stage.value, items=len(rows))
                settle({row["id"]: Settled(Settlement.LOST) for row in rows})

        self._runners.when_ready(batch_id, ready)

    def _call(self, stage: Stage, work: Work, rows: Sequence[Row], settle: Settle) -> None:
        started_at = self._context.now()
        definition, runner = work.definition, work.runners[stage]
        if isinstance(runner, PipelineError):
            self._recorder.put([_not_runnable(row, stage, definition, runner, started_at) for row in rows], settle)
            return
        by_id = {row["id"]: row for row in rows}

        def emit(outcomes: Sequence[tuple[WorkItem, Outcome]]) -> None:
            done = [Done(by_id[item.id], stage, definition, outcome, started_at) for item, outcome in outcomes]
            self._recorder.put(done, settle)

        runner.run(_work_items(rows, work), emit)


def _ref(row: Row) -> Ref:
    return Ref(row["id"], row["epoch"])


def _without(refs: Sequence[Ref], claimed: Sequence[Row]) -> list[int]:
    taken = {row["id"] for row in claimed}
    return [ref.id for ref in refs if ref.id not in taken]


def _by_size(rows: Sequence[Row]) -> list[list[Row]]:
    """Divide rows so that no call gets more than `CALL_BYTES` of payload, one item excepted."""
    calls: list[list[Row]] = [[]]
    size = 0
    for row in rows:
        size += len(row["payload"])
        if size > CALL_BYTES and calls[-1]:
            calls.append([])
            size = len(row["payload"])
        calls[-1].append(row)
    return calls


def _work_items(rows: Sequence[Row], work: Work) -> list[WorkItem]:
    text, batch_id = work.definition.input.text, work.public_id
    return [
        WorkItem(
            id=row["id"],
            item_id=item_id(batch_id, row["position"]),
            batch_id=batch_id,
            key=row["key"],
            payload=(payload := orjson.loads(row["payload"])),
            text=str(payload.get(text) or ""),
            attempt=row["attempt"],
            label=row["label"],
            confidence=row["confidence"],
        )
        for row in rows
    ]


def _not_runnable(row: Row, stage: Stage, definition: Definition, error: PipelineError, started_at: datetime) -> Done:
    # Another worker may have the model file or the module that this one lacks.
    failure = Failure(FailureKind.TRANSIENT, type(error).__name__, str(error))
    return Done(row, stage, definition, failure, started_at)
