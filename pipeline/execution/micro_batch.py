"""The path of a micro-batch through one stage: claim, run, record, publish the next stage, acknowledge."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import NamedTuple, Protocol

import orjson

from pipeline.database.retry import retrying
from pipeline.database.row import Row
from pipeline.database.trouble import log_failure
from pipeline.definitions import Definition
from pipeline.domain.ids import item_id
from pipeline.domain.item import Stage, WorkItem
from pipeline.domain.outcome import Failure, FailureKind, Outcome
from pipeline.domain.portions import portions, text_bytes
from pipeline.errors import PipelineError
from pipeline.execution.disposition import Disposition, DispositionKind
from pipeline.execution.record import Done, result_bytes
from pipeline.execution.rescue import unsent
from pipeline.execution.runner_cache import Work
from pipeline.execution.sql import releases
from pipeline.execution.sql.releases import Ref
from pipeline.execution.stage_runtime import StageRuntime
from pipeline.log import get_logger

log = get_logger(__name__)


class MicroBatchMessages(Protocol):
    """The messages that delivered the items of a micro-batch. Both methods are called from several threads."""

    def publish_next(self, advanced: Collection[int]) -> None:
        """Publish the messages that are chained to those of these items. Must not wait for the broker."""

    def acknowledge(self, dispositions: Mapping[int, Disposition]) -> None:
        """Acknowledge the messages of these items. Every item of the micro-batch comes here, in groups."""


class _Call(NamedTuple):
    """One call of a stage: items of one batch, by their public ids, and their definition."""

    rows: Mapping[str, Row]
    definition: Definition
    started_at: datetime


class MicroBatch:
    """Released items on their way through one stage, from top to bottom.

    `claim` and `run` handle all items together, on the thread that calls `process`. From `record` on, each item goes
    its own way: its outcome goes to the record thread the moment it is known, and after the commit that thread calls
    `publish_next` and `acknowledge`. A slow item never holds up the others.

    Failures stay apart as well. An item's failure is its outcome, a definition that cannot be loaded affects only the
    items of its batches, and only a failed claim affects the whole micro-batch.
    """

    def __init__(self, runtime: StageRuntime, stage: Stage, refs: Sequence[Ref], messages: MicroBatchMessages) -> None:
        """Prepare to take `refs`, which contain each release once, through `stage`; `messages` delivered them."""
        self._runtime = runtime
        self._stage = stage
        self._refs = refs
        self._messages = messages
        #: By item id, since of two releases of one item at most one can be claimed. The rows are not kept here: their
        #: payloads would stay in memory until the slowest item is done.
        self._claimed: dict[int, Ref] = {}

    def process(self) -> None:
        """Take the items through the stage. Return when fast steps are done and slow ones are under way.

        Once the runtime is closed, nothing is run: every item is handed back.

        Raises:
            Exception: the items could not be claimed or handed back. Their leases run out.
        """
        rest = self._refs
        while rest:
            number = self._runtime.wait_for_room()
            portion = rest[:number]
            with self._runtime.stop_gate.passing() as is_open:
                rows = self.claim(portion) if is_open else []
            if not is_open:
                self.hand_back(rest)
                return
            self.drop_stale(portion)
            self.run(rows)
            rest = rest[number:]

    # --- on the thread that calls `process` ----------------------------------------------------------------------

    def claim(self, refs: Sequence[Ref]) -> list[Row]:
        """Claim the items that are still queued under the epoch of their message, and return their rows.

        One statement claims them all. If the database is unreachable, this waits as long as a lease lasts: the
        messages are here, and safe. Items claimed by a commit whose answer was lost are not claimed again: their leases
        run out.
        """
        runtime = self._runtime
        rows = retrying(partial(self._claim, refs), patience=runtime.context.lease, stopping=runtime.stop_gate.closed)
        self._claimed |= {row["id"]: Ref(row["id"], row["epoch"]) for row in rows}
        runtime.start_renewing({self._claimed[row["id"]]: text_bytes(row["payload"]) for row in rows})
        return rows

    def _claim(self, refs: Sequence[Ref]) -> list[Row]:
        context = self._runtime.context
        now = context.now()
        with context.database.write_once() as connection:
            return releases.claim(
                connection,
                self._stage,
                refs,
                now=now,
                lease_until=now + context.lease,
                worker=context.worker,
            )

    def hand_back(self, refs: Sequence[Ref]) -> None:
        """Make items pending again, so that another process need not wait for their leases to run out."""
        unsent(self._runtime.context, refs)
        self.acknowledge({ref.id: _HANDED_BACK for ref in refs})

    def drop_stale(self, refs: Sequence[Ref]) -> None:
        """Acknowledge the messages whose items were not claimed: another release or another copy was faster."""
        stale = {ref.id: _STALE for ref in refs if ref.id not in self._claimed}
        if stale:
            self.acknowledge(stale)

    def run(self, rows: Sequence[Row]) -> None:
        """Run the stage on claimed items, those of each batch as soon as its definition is loaded."""
        of_batch: dict[int, list[Row]] = defaultdict(list)
        for row in rows:
            of_batch[row["batch_id"]].append(row)
        for batch_id, of_one in of_batch.items():
            self._runtime.runners.when_ready(batch_id, partial(self._run_rows, of_one))

    def _run_rows(self, rows: list[Row], work: Work | Exception) -> None:
        """Run items of one batch; an error inside pipeline leaves them to their leases."""
        try:
            if isinstance(work, Exception):
                raise work
            for some in portions(rows, lambda row: text_bytes(row["payload"]), count=len(rows)):
                self._call(work, some)
        except Exception as error:
            log_failure(log, "items_lost", error, stage=self._stage.value, items=len(rows))
            self.finish({row["id"]: _LOST for row in rows})

    def _call(self, work: Work, rows: Sequence[Row]) -> None:
        items = _work_items(rows, work)
        by_item = {item.item_id: row for item, row in zip(items, rows, strict=True)}
        call = _Call(by_item, work.definition, self._runtime.context.now())
        runner = work.runners[self._stage]
        if isinstance(runner, PipelineError):
            # Transient: another worker may have the model file or the module that is missing here.
            failure = Failure(FailureKind.TRANSIENT, type(runner).__name__, str(runner))
            self.record(call, [(item, failure) for item in items])
            return
        runner.run(items, partial(self.record, call))

    # --- on the thread or event loop where an item's last step ended ---------------------------------------------

    def record(self, call: _Call, outcomes: Iterable[tuple[WorkItem, Outcome]]) -> None:
        """Hand outcomes to the record thread, which commits them in its next transaction and then calls `finish`."""
        rows, definition, started_at = call
        done = [
            Done(rows[item.item_id], self._stage, definition, outcome, started_at, result_bytes(outcome))
            for item, outcome in outcomes
        ]
        large = {self._claimed[each.row["id"]]: each.bytes for each in done if each.bytes}
        if large:
            self._runtime.add_results(large)
        self._runtime.recorder.put(self, done)

    # --- on the record thread, after the commit ------------------------------------------------------------------

    def finish(self, dispositions: Mapping[int, Disposition]) -> None:
        """Finish claimed items whose outcomes are committed or lost: stop renewing their leases, publish, acknowledge.

        Args:
            dispositions: what became of them, by item id.
        """
        self._runtime.stop_renewing(self._claimed[id_] for id_ in dispositions)
        self.publish_next(dispositions)
        self.acknowledge(dispositions)

    def publish_next(self, dispositions: Mapping[int, Disposition]) -> None:
        """Publish the next stage's message of each item that advanced: it is queued for that stage already."""
        advanced = [id_ for id_, each in dispositions.items() if each.kind is DispositionKind.ADVANCED]
        if advanced:
            self._messages.publish_next(advanced)

    def acknowledge(self, dispositions: Mapping[int, Disposition]) -> None:
        """Acknowledge the messages of items that this micro-batch is done with, successful or not."""
        self._messages.acknowledge(dispositions)


_STALE = Disposition(DispositionKind.STALE)
_LOST = Disposition(DispositionKind.LOST)
_HANDED_BACK = Disposition(DispositionKind.HANDED_BACK)


def _work_items(rows: Sequence[Row], work: Work) -> list[WorkItem]:
    text, batch_id = work.definition.input.text, work.public_id
    return [
        WorkItem(
            item_id=item_id(batch_id, row["position"]),
            batch_id=batch_id,
            key=row["key"],
            # The text is not kept beside its value: it may be large, and the item slow.
            payload=(payload := orjson.loads(row.pop("payload"))),
            text=str(payload.get(text) or ""),
            attempt=row["attempt"],
            label=row["label"],
            confidence=row["confidence"],
        )
        for row in rows
    ]
