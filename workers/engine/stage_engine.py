"""What runs stages in a process: processor, recorder, publisher of what follows, and the keeper of leases."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence

from pipeline.broker.messages import Broker, Task
from pipeline.context import Context
from pipeline.domain.item import Stage
from pipeline.execution.process import StageProcessor
from pipeline.execution.record import Settled, Settlement
from pipeline.execution.record_thread import RecordThread, Settle
from pipeline.execution.rescue import renew
from pipeline.execution.sql.releases import Ref
from pipeline.stages.run.executor import Executor
from workers.engine.periodic import PeriodicThread
from workers.engine.publisher import Publisher

#: How often a stopping worker looks whether what it has begun is done.
DRAIN_POLL_SECONDS = 0.02
#: What writing the last results may take beyond the time that a stop has.
MARGIN_SECONDS = 2.0


class StageEngine:
    """Runs stages from `start` to `stop`; make it after any fork."""

    def __init__(self, context: Context, broker: Broker) -> None:
        self._context = context
        self._executor = Executor()
        self._recorder = RecordThread(context)
        self._processor = StageProcessor(context, self._executor, self._recorder)
        self._publisher = Publisher(context, broker)
        self._waiting: set[threading.Event] = set()
        self._is_stopped = False
        self._keeper = PeriodicThread("pipeline-keeper", [(min(1.0, context.settings.lease_seconds / 4), self.keep)])

    def start(self) -> None:
        self._publisher.start()
        self._keeper.start()

    def stop(self, left: Callable[[], float]) -> None:
        """Give what has begun the seconds that are left, and write what came of it. The rest is for `hand_back`."""
        self._processor.close()
        # What is claimed after the rest was handed back would be held by nobody.
        wait_while(self._processor.is_claiming, countdown(left() + MARGIN_SECONDS))
        wait_while(self._processor.under_way, left)
        self._keeper.stop(left() + MARGIN_SECONDS)
        self._recorder.close(left() + MARGIN_SECONDS)
        self._executor.close()
        self._publisher.stop(left() + MARGIN_SECONDS)
        self._is_stopped = True
        for ended in list(self._waiting):
            ended.set()

    def process(self, stage: Stage, refs: Sequence[Ref], settle: Settle) -> None:
        """See `StageProcessor.process`."""
        self._processor.process(stage, refs, settle)

    def process_to_the_end(self, stage: Stage, refs: Sequence[Ref], hear: Settle) -> dict[int, Settled]:
        """Process items, wait until the last of them is settled, and return what became of each.

        A stop ends the wait: what is not settled by then is handed back.

        Args:
            hear: told of every group that is settled, at once.
        """
        left = {ref.id for ref in refs}
        ends = dict.fromkeys(left, Settled(Settlement.HANDED_BACK))
        ended = threading.Event()

        def settle(settled: Mapping[int, Settled]) -> None:
            hear(settled)
            ends.update(settled)
            left.difference_update(settled)
            if not left:
                ended.set()

        self._waiting.add(ended)
        try:
            self.process(stage, refs, settle)
            if not self._is_stopped:
                ended.wait()
        finally:
            self._waiting.discard(ended)
        return dict(ends)

    def publish(self, tasks: Sequence[Task]) -> None:
        """Publish what follows on released items, soon."""
        self._publisher.put(tasks)

    def keep(self) -> None:
        """Renew the leases of what is being run here."""
        renew(self._context, self._processor.under_way())


def countdown(seconds: float) -> Callable[[], float]:
    """Return what tells how many seconds are left."""
    end = time.monotonic() + seconds
    return lambda: max(end - time.monotonic(), 0.0)


def wait_while(is_busy: Callable[[], object], left: Callable[[], float]) -> None:
    """Wait until something is done, as long as seconds are left."""
    while is_busy() and left():
        time.sleep(DRAIN_POLL_SECONDS)
