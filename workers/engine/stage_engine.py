"""The stage engine of a process: runs micro-batches, records and publishes what follows, and renews their leases."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from pipeline.broker.messages import Task
from pipeline.broker.publisher import TaskPublisher
from pipeline.context import Context
from pipeline.domain.item import Stage
from pipeline.execution.attempt_log import open_attempt_log
from pipeline.execution.disposition import Disposition
from pipeline.execution.item_traces import open_item_traces
from pipeline.execution.micro_batch import MicroBatch, MicroBatchMessages
from pipeline.execution.record_thread import RecordThread
from pipeline.execution.rescue import renew
from pipeline.execution.sql.releases import Ref
from pipeline.execution.stage_runtime import StageRuntime
from pipeline.stages.run.executor import Executor
from workers.engine.awaited_messages import AwaitedMessages
from workers.engine.item_message import ItemMessage
from workers.engine.periodic import PeriodicThread
from workers.engine.publisher import Publisher

#: How often a stopping worker checks whether the work under way is done.
DRAIN_POLL_SECONDS = 0.02
#: How often a process looks which batches are paused or cancelled, while it has items under way.
HELD_SECONDS = 0.1
#: How often a process tells how long attempts take.
PACE_SECONDS = 60.0
#: What writing the last results may take beyond the time that a stop has.
MARGIN_SECONDS = 2.0


class StageEngine:
    """Runs stages from `start` to `stop`. Create it after any fork."""

    def __init__(self, context: Context, broker: TaskPublisher) -> None:
        self._context = context
        self._executor = Executor()
        self._attempt_log = open_attempt_log(context)
        self._traces = open_item_traces(context)
        observers = [each.recorded for each in (self._attempt_log, self._traces) if each is not None]
        self._recorder = RecordThread(context, observers)
        self._runtime = StageRuntime(context, self._executor, self._recorder, self._traces)
        self._publisher = Publisher(context, broker)
        self._awaited: set[AwaitedMessages] = set()
        self._is_stopped = False
        self._keeper = PeriodicThread(
            "pipeline-keeper",
            [
                (min(1.0, context.settings.lease_seconds / 4), self.keep),
                (HELD_SECONDS, self._runtime.look_for_held_batches),
                (PACE_SECONDS, self._recorder.pace.share),
            ],
        )

    def start(self) -> None:
        self._publisher.start()
        self._keeper.start()

    def stop(self, left: Callable[[], float]) -> None:
        """Let items under way finish within the seconds that are `left`, and write their outcomes.

        The caller hands back the others.
        """
        self._runtime.close()
        # Nothing would hold items claimed after the rest had been handed back.
        wait_while(self._runtime.is_claiming, countdown(left() + MARGIN_SECONDS))
        wait_while(self._runtime.under_way, left)
        self._keeper.stop(left() + MARGIN_SECONDS)
        self._recorder.close(left() + MARGIN_SECONDS)
        if self._attempt_log is not None:
            self._attempt_log.close()
        if self._traces is not None:
            self._traces.close()
        self._executor.close()
        self._publisher.stop(left() + MARGIN_SECONDS)
        self._is_stopped = True
        for awaited in list(self._awaited):
            awaited.stop_waiting()

    def process(self, stage: Stage, refs: Sequence[Ref], messages: MicroBatchMessages) -> None:
        """Take released items through a stage, see `MicroBatch.process`."""
        MicroBatch(self._runtime, stage, refs, messages).process()

    def process_and_wait(
        self, stage: Stage, refs: Sequence[Ref], messages: Mapping[int, ItemMessage]
    ) -> dict[int, Disposition]:
        """Take released items through a stage, and wait until the last one is recorded, or the engine has stopped.

        In the meantime, results are recorded and the next stage's messages published.

        Args:
            messages: by item id, those whose chained messages are to be published.

        Returns:
            What became of each item. Items not recorded before a stop are handed back.
        """
        awaited = AwaitedMessages(refs, messages, self._publisher)
        self._awaited.add(awaited)
        try:
            self.process(stage, refs, awaited)
            # Looked at after `add`: a stop that did not see it has set the flag.
            if not self._is_stopped:
                awaited.wait()
        finally:
            self._awaited.discard(awaited)
        return awaited.dispositions()

    def publish(self, tasks: Sequence[Task]) -> None:
        """Publish tasks of released items, soon."""
        self._publisher.put(tasks)

    def keep(self) -> None:
        """Renew the leases of the items under way here."""
        renew(self._context, self._runtime.under_way())


def countdown(seconds: float) -> Callable[[], float]:
    """Return a function that returns how many of these seconds are left."""
    end = time.monotonic() + seconds
    return lambda: max(end - time.monotonic(), 0.0)


def wait_while(is_busy: Callable[[], object], left: Callable[[], float]) -> None:
    """Wait while something is busy, as long as seconds are left."""
    while is_busy() and left():
        time.sleep(DRAIN_POLL_SECONDS)
