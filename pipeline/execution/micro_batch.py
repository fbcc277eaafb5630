"""The path of a micro-batch through one stage: claim, run, record, publish the next stage, acknowledge."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Protocol

import orjson

from pipeline.database.retry import retrying
from pipeline.database.row import Row
from pipeline.database.trouble import log_failure
from pipeline.domain.ids import item_id
from pipeline.domain.inputs.input_mapping import text_of
from pipeline.domain.item import Classification, Stage, WorkItem
from pipeline.domain.outcome import Failure, FailureKind, Outcome
from pipeline.domain.portions import portions, text_bytes
from pipeline.errors import PipelineError
from pipeline.execution.count_outcomes import count_claimed, count_unrun
from pipeline.execution.disposition import Disposition, DispositionKind
from pipeline.execution.record import Done, enrichment_json
from pipeline.execution.rescue import unsent
from pipeline.execution.runner_cache import Work
from pipeline.execution.sql import releases
from pipeline.execution.sql.releases import Ref
from pipeline.execution.stage_call import Continuation, StageCall
from pipeline.execution.stage_runtime import StageRuntime
from pipeline.log import get_logger
from pipeline.stages.catalog.step import Mode

log = get_logger(__name__)


class MicroBatchMessages(Protocol):
    """The messages that delivered the items of a micro-batch. Its methods are called from several threads."""

    def publish_next(self, advanced: Collection[int]) -> None:
        """Publish the messages that are chained to those of these items. Must not wait for the broker."""

    def chain_here(self, items: Collection[int]) -> MicroBatchMessages | None:
        """Return the messages chained to those of these items without publishing them, if this process may run them.

        None: the next stage is not served here, so the messages of these items have to be published.
        """

    def begin(self, items: Collection[int]) -> None:
        """Note that a stage without messages has begun for these items, which are stored at it."""

    def acknowledge(self, dispositions: Mapping[int, Disposition]) -> None:
        """Acknowledge the messages of these items. Every item of the micro-batch comes here, in groups."""


class MicroBatch:
    """Released items on their way through one stage, from top to bottom.

    `claim` and `run` handle all items together, on the thread that calls `process`. From `record` on, each item goes
    its own way: its outcome goes to the record thread the moment it is known, and after the commit that thread calls
    `publish_next` and `acknowledge`. A slow item never holds up the others.

    Where this process serves the next stage too, classified items go on to it at once, in a micro-batch of their own
    under the same claim, and nothing is published for them: see `continue_here`.

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
        #: Items that go on to the next stage in this process, until their classification is recorded.
        self._continuing: dict[int, Continuation] = {}
        #: Items whose outcomes the record thread has got.
        self._handed_over: set[int] = set()
        #: Items that hold a place, see `StageRuntime.take_places`.
        self._places: dict[int, bool] = {}

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
        messages are here, and safe.
        """
        runtime, tries = self._runtime, count()
        began = time.perf_counter()
        rows = retrying(
            lambda: self._claim(refs, is_again=next(tries) > 0),
            patience=runtime.context.lease,
            stopping=runtime.stop_gate.closed,
        )
        if runtime.context.meter.is_on and rows:
            count_claimed(runtime.context, self._stage, rows, time.perf_counter() - began)
        self._claimed |= {row["id"]: Ref(row["id"], row["epoch"]) for row in rows}
        runtime.start_renewing({self._claimed[row["id"]]: text_bytes(row["payload"]) for row in rows})
        return rows

    def _claim(self, refs: Sequence[Ref], *, is_again: bool) -> list[Row]:
        context = self._runtime.context
        now = context.now()
        with context.database.write_once() as connection:
            claimed = releases.claim(
                connection,
                self._stage,
                refs,
                now=now,
                lease_until=now + context.lease,
                worker=context.worker,
                with_times=context.meter.is_on,
            )
            if not is_again:
                return claimed
            # The try before may have claimed some, if only its answer was lost. Now it has committed, or never will.
            known = {*self._runtime.under_way(), *(Ref(row["id"], row["epoch"]) for row in claimed)}
            rest = [ref for ref in refs if ref not in known]
            return claimed + releases.find_claimed(connection, self._stage, rest, worker=context.worker)

    def hand_back(self, refs: Sequence[Ref]) -> None:
        """Make items pending again, so that another process need not wait for their leases to run out."""
        unsent(self._runtime.context, refs)
        count_unrun(self._runtime.context, self._stage, _HANDED_BACK, len(refs))
        self.acknowledge({ref.id: _HANDED_BACK for ref in refs})

    def drop_stale(self, refs: Sequence[Ref]) -> None:
        """Acknowledge the messages whose items were not claimed: another release or another copy was faster."""
        stale = {ref.id: _STALE for ref in refs if ref.id not in self._claimed}
        if stale:
            count_unrun(self._runtime.context, self._stage, _STALE, len(stale))
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
            keeps_text = self._stage is not work.definition.stages[-1] and not _is_inline(work, self._stage)
            for some in portions(rows, lambda row: text_bytes(row["payload"]), count=len(rows)):
                self._call(work, some, _work_items(some, work, keeps_text=keeps_text))
        except Exception as error:
            self._lose(rows, error)

    def _call(self, work: Work, rows: Sequence[Row], items: Sequence[WorkItem]) -> None:
        by_item = {item.item_id: row for item, row in zip(items, rows, strict=True)}
        call = StageCall(by_item, work, self._runtime.context.now())
        if self._runtime.traces is not None:
            self._runtime.traces.begin(call, self._stage)
        runner = work.runners[self._stage]
        if isinstance(runner, PipelineError):
            # Transient: another worker may have the model file or the module that is missing here.
            failure = Failure(FailureKind.TRANSIENT, type(runner).__name__, str(runner))
            self.record(call, [(item, failure) for item in items])
            return
        held = self._runtime.breakers.hold(work.definition_id, items) if self._stage is Stage.ENRICH else None
        try:
            if held is not None:
                self.record(call, [(item, held.failure) for item in held.waiting])
                items = held.admitted
            if items:
                runner.run(items, partial(self.record, call))
        finally:
            # Also of a call that failed: those items are classified, and go on.
            for continuation in call.end():
                continuation.start()

    def _lose(self, rows: Sequence[Row], error: Exception) -> None:
        lost = {row["id"]: _LOST for row in rows if row["id"] not in self._handed_over}
        log_failure(log, "items_lost", error, stage=self._stage.value, items=len(lost))
        count_unrun(self._runtime.context, self._stage, _LOST, len(lost))
        self.finish(lost)

    # --- on the thread or event loop where an item's last step ended ---------------------------------------------

    def record(self, call: StageCall, outcomes: Sequence[tuple[WorkItem, Outcome]]) -> None:
        """Hand outcomes to the record thread, which commits them in its next transaction and then calls `finish`."""
        continuation = self.continue_here(call, outcomes)
        ended_at = self._runtime.context.now()
        done = [
            Done(
                row := call.rows[item.item_id],
                self._stage,
                call.work.definition,
                outcome,
                call.started_at,
                ended_at,
                call.work.public_id,
                enrichment_json(outcome),
                continues=row["id"] in self._continuing,
                is_durable=continuation is not None and continuation.is_durable,
                submission=call.work.submission,
                submitted_at=call.work.submitted_at,
            )
            for item, outcome in outcomes
        ]
        large = {self._claimed[each.row["id"]]: each.bytes for each in done if each.bytes}
        if large:
            self._runtime.add_results(large)
        self._handed_over.update(each.row["id"] for each in done)
        self._runtime.recorder.put(self, done)
        if self._runtime.traces is not None:
            self._runtime.traces.end(call, self._stage, [item.item_id for item, _ in outcomes], ended_at)
        # After the outcomes were put: the record thread has to learn of a classification before what follows from it.
        if continuation is not None and not continuation.is_durable and not call.run_at_end(continuation):
            self._start_soon(continuation)

    def continue_here(self, call: StageCall, outcomes: Sequence[tuple[WorkItem, Outcome]]) -> Continuation | None:
        """Return the micro-batch of the next stage for items that this process takes on to it; None if there are none.

        They keep their claim and their lease. The others go through the broker: where no worker of this process serves
        the next stage, where that has as many items under way as it may hold, and while this process stops. Items of
        batches that are paused or cancelled stay in SQL.
        """
        definition = call.work.definition
        if self._stage is definition.stages[-1]:
            return None
        classified = [
            (call.rows[item.item_id], item, outcome)
            for item, outcome in outcomes
            if isinstance(outcome, Classification)
        ]
        classified = classified[: self._runtime.take_places(call.batch_id, len(classified))]
        if not classified:
            return None
        messages = self._messages.chain_here([row["id"] for row, _, _ in classified])
        if messages is None:
            self._runtime.give_back_places(len(classified))
            return None
        refs = [self._claimed[row["id"]] for row, _, _ in classified]
        following = MicroBatch(self._runtime, definition.stages[-1], refs, messages)
        following._claimed = {ref.id: ref for ref in refs}
        following._places = dict.fromkeys(following._claimed, True)
        # A crash is charged to the stage that is stored. Suspects are stored at each stage before they run there.
        is_durable = definition.classify.durable or any(row["crashes"] for row, _, _ in classified)
        items = [_at_next_stage(row, item, outcome) for row, item, outcome in classified]
        # After `_at_next_stage`, which has taken the texts of the payloads out.
        rows = [row | _FIRST_ATTEMPT for row, _, _ in classified]
        continuation = Continuation(following, call.work, rows, items, is_durable=is_durable)
        self._continuing |= {row["id"]: continuation for row in rows}
        return continuation

    def _start_soon(self, continuation: Continuation) -> None:
        if not self._runtime.run_soon(continuation.start):
            # This process is stopping, and hands back what it holds.
            continuation.drop()

    def take_on(self, work: Work, rows: Sequence[Row], items: Sequence[WorkItem]) -> None:
        """Run the stage on items that this process claimed at the stage before."""
        try:
            self._call(work, rows, items)
        except Exception as error:
            self._lose(rows, error)

    def drop(self, items: Collection[int]) -> None:
        """Forget items that do not reach this stage here after all."""
        self._runtime.stop_renewing(self._claimed[id_] for id_ in items)
        self._give_back_places(items)

    def _give_back_places(self, items: Collection[int]) -> None:
        # Once for each item, whichever threads finish or drop it.
        self._runtime.give_back_places(sum(self._places.pop(id_, False) for id_ in items))

    # --- on the record thread, after the commit ------------------------------------------------------------------

    def finish(self, dispositions: Mapping[int, Disposition], *, with_next: bool = False) -> None:
        """Finish claimed items whose outcomes are committed or lost: stop renewing their leases, publish, acknowledge.

        Items that go on to the next stage in this process are left to its micro-batch.

        Args:
            dispositions: what became of them, by item id.
            with_next: whether their outcomes at the next stage were committed together with these.
        """
        continuing = {id_: found for id_ in dispositions if (found := self._continuing.pop(id_, None)) is not None}
        self._give_back_places(dispositions)
        self._runtime.stop_renewing(self._claimed[id_] for id_ in dispositions if id_ not in continuing)
        self.publish_next({id_: each for id_, each in dispositions.items() if id_ not in continuing})
        self.acknowledge(dispositions)
        of_continuation: dict[Continuation, dict[int, Disposition]] = defaultdict(dict)
        for id_, continuation in continuing.items():
            of_continuation[continuation][id_] = dispositions[id_]
        for continuation, mine in of_continuation.items():
            self._committed(continuation, mine, with_next=with_next)

    def _committed(
        self, continuation: Continuation, dispositions: Mapping[int, Disposition], *, with_next: bool
    ) -> None:
        """Begin the next stage of items whose classification is committed, if it waited for that."""
        stored = [id_ for id_, each in dispositions.items() if each.kind is DispositionKind.ADVANCED]
        others = dispositions.keys() - stored
        # Where the next stage has begun for them, its outcomes will be stale.
        self._runtime.stop_renewing(self._claimed[id_] for id_ in others)
        continuation.drop(others)
        if stored and not with_next:
            continuation.next_stage.begin(stored)
        if continuation.is_durable:
            self._start_soon(continuation.split(stored))

    def begin(self, items: Collection[int]) -> None:
        """Note that items are stored at this stage, and not finished there."""
        self._messages.begin(items)

    def publish_next(self, dispositions: Mapping[int, Disposition]) -> None:
        """Publish the next stage's message of each item that advanced: it is queued for that stage already."""
        advanced = [id_ for id_, each in dispositions.items() if each.kind is DispositionKind.ADVANCED]
        if advanced:
            self._messages.publish_next(advanced)

    def acknowledge(self, dispositions: Mapping[int, Disposition]) -> None:
        """Acknowledge the messages of items that this micro-batch is done with, successful or not."""
        self._messages.acknowledge(dispositions)


#: What a row says of an item that has just come to a stage.
_FIRST_ATTEMPT = {"attempt": 1, "snoozes": 0, "crashes": 0}

_STALE = Disposition(DispositionKind.STALE)
_LOST = Disposition(DispositionKind.LOST)
_HANDED_BACK = Disposition(DispositionKind.HANDED_BACK)


def _work_items(rows: Sequence[Row], work: Work, *, keeps_text: bool) -> list[WorkItem]:
    """Return rows as a stage sees them.

    Args:
        keeps_text: keep each payload's text too, because a user's classifier may change the value that it is given.
    """
    fields, batch_id = work.definition.input.text_fields, work.public_id
    return [
        WorkItem(
            item_id=item_id(batch_id, row["position"]),
            batch_id=batch_id,
            key=row["key"],
            # Otherwise the text is not kept beside its value: it may be large, and the item slow.
            payload=(payload := orjson.loads(row["payload"] if keeps_text else row.pop("payload"))),
            text=text_of(payload, fields),
            attempt=row["attempt"],
            label=row["label"],
            confidence=row["confidence"],
        )
        for row in rows
    ]


def _at_next_stage(row: Row, item: WorkItem, classification: Classification) -> WorkItem:
    """Return a classified item as the next stage sees it: with its payload as it was submitted."""
    text = row.pop("payload", None)
    payload = item.payload if text is None else orjson.loads(text)
    return replace(item, payload=payload, attempt=1, label=classification.label, confidence=classification.confidence)


def _is_inline(work: Work, stage: Stage) -> bool:
    runner = work.runners[stage]
    return not isinstance(runner, PipelineError) and all(step.mode is Mode.INLINE for step in runner.steps)
