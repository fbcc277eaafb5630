"""What a worker process runs beside Celery: processor, recorder, sender, and the pulse that dispatches and sweeps."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence

from celery import Celery

from pipeline.bootstrap import make_sender
from pipeline.broker import Broker
from pipeline.delivery.sender import Sender
from pipeline.domain.item import Stage
from pipeline.services.context import Context
from pipeline.services.deliver import is_busy
from pipeline.services.dispatch import Dispatcher
from pipeline.services.process import Processor
from pipeline.services.record import Settlement
from pipeline.services.recorder import Recorder, Settle
from pipeline.services.rescue import hand_back
from pipeline.services.runners import Runners
from pipeline.stages.executor import Executor
from pipeline.storage.releases import Ref
from workers.pulse import Pulse

#: How often a stopping worker looks whether what it has begun is done.
DRAIN_POLL_SECONDS = 0.02

_FINAL = frozenset({Settlement.SUCCEEDED, Settlement.DEAD})


class Engine:
    """The parts of a worker process that are ours; started before Celery's worker, stopped after it."""

    def __init__(self, app: Celery, context: Context, *, batch_id: int | None = None) -> None:
        """Work on everything, or only on `batch_id`."""
        self.context = context
        self._executor = Executor()
        self._recorder = Recorder(context)
        self._processor = Processor(context, Runners(context, self._executor), self._recorder)
        self._dispatcher = Dispatcher(
            context,
            Broker(app).publish_items,
            batch_id=batch_id,
            owns_messages=context.settings.is_embedded,
        )
        self._sender: Sender = make_sender(context)
        self._pulse = Pulse(
            context, self._dispatcher, under_way=self._processor.under_way, wake_sender=self._sender.wake
        )
        self._finished = 0

    def start(self) -> None:
        self._sender.start()
        self._pulse.start()

    def stop(self, *, deliver: bool) -> None:
        """Finish what is quick, hand the rest back, and let others take over at once.

        Args:
            deliver: wait for callbacks that are due now, as long as a stop may take.
        """
        timeout = self.context.settings.stop_seconds
        end = time.monotonic() + timeout
        _wait_while(self._processor.under_way, end)
        self._pulse.stop()
        self._recorder.close(timeout)
        self._executor.close()
        if deliver:
            _wait_while(self._owes_callbacks, end)
        self._sender.stop(timeout)
        self.abandon()

    def _owes_callbacks(self) -> bool:
        context = self.context
        return bool(context.settings.secrets) and is_busy(context.database, context.worker, context.now())

    def abandon(self) -> None:
        """Hand back what this process holds, whatever its threads are doing: for the very end of a program."""
        hand_back(self.context)

    def process(self, stage: Stage, refs: Sequence[Ref], settle: Settle) -> None:
        self._processor.process(stage, refs, settle)

    def process_one(self, stage: Stage, ref: Ref) -> Settlement:
        """Process one item and wait for its end."""
        ended = threading.Event()
        ends: dict[int, Settlement] = {}

        def settle(settled: Mapping[int, Settlement]) -> None:
            ends.update(settled)
            ended.set()

        self.process(stage, [ref], settle)
        ended.wait()
        return ends[ref.id]

    def settled(self, ends: Sequence[Settlement]) -> None:
        """Hear what became of messages: wake the sender, and the dispatcher when the window has run low."""
        final = sum(end in _FINAL for end in ends)
        if not final:
            return
        self._sender.wake()
        self._finished += final
        if self._finished >= self._dispatcher.window // 4:
            self._finished = 0
            self._pulse.wake()

    def wake_sender(self) -> None:
        self._sender.wake()

    def wake_dispatch(self) -> None:
        self._pulse.wake()


def _wait_while(is_busy: Callable[[], object], end: float) -> None:
    while is_busy() and time.monotonic() < end:
        time.sleep(DRAIN_POLL_SECONDS)


_running: list[Engine] = []


def running_engine() -> Engine:
    """Return this process's engine."""
    return _running[-1]


def set_running(engine: Engine | None) -> None:
    """Make `engine` the one that tasks find; None when it stops."""
    _running.clear()
    if engine is not None:
        _running.append(engine)
