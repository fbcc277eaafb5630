"""The engine of a worker process: what it runs besides Celery, namely stages, the sender, dispatch and sweeps."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass

from celery import Celery

from pipeline.bootstrap import make_alerts, make_sender, with_sender
from pipeline.broker.messages import DELIVER_TASK
from pipeline.broker.publisher import open_publisher
from pipeline.context import Context
from pipeline.delivery.claim import is_busy, release
from pipeline.delivery.rules.delivery import is_alert_channel
from pipeline.execution.dispatch import Dispatcher
from pipeline.execution.disposition import Disposition, DispositionKind
from pipeline.execution.rescue import hand_back, hand_back_items
from pipeline.telemetry import tracing
from workers.engine.alert_watch import AlertWatch
from workers.engine.dispatch_loop import DispatchLoop
from workers.engine.export_threads import ExportThreads
from workers.engine.nudge_sender import NudgeSender
from workers.engine.periodic import PeriodicThread, guarded
from workers.engine.stage_engine import StageEngine, wait_while
from workers.engine.sweeps import Sweeps

#: How often the clock is synchronised with the database.
SYNCHRONISE_SECONDS = 60.0

#: Seconds after which a broker that is asked whether it is there does not answer.
BROKER_SECONDS = 5.0

_FINAL = frozenset({DispositionKind.SUCCEEDED, DispositionKind.DEAD})


@dataclass(frozen=True, slots=True)
class Roles:
    """What a process does: run stages, dispatch and sweep, send callbacks."""

    runs_stages: bool = True
    dispatches: bool = True
    sends: bool = True


class Engine:
    """The parts of a worker process that Celery lacks. Started before messages are consumed, stopped after."""

    def __init__(self, app: Celery, context: Context, roles: Roles = Roles(), *, batch_id: int | None = None) -> None:
        """Work on everything, or only on `batch_id`."""
        self.app = app
        self._alerts = make_alerts(context.settings)
        self._sender = make_sender(context, self._alerts) if roles.sends else None
        if self._sender:
            context = with_sender(context, self._sender)
        self.context = context
        self.broker = open_publisher(app)
        self._stage_engine = StageEngine(context, self.broker) if roles.runs_stages else None
        self._nudges = None if roles.sends else NudgeSender(self.broker, DELIVER_TASK)
        self._exports = ExportThreads(context, batch_id) if roles.sends else None
        self._dispatcher: Dispatcher | None = None
        if roles.dispatches:
            self._make_dispatcher(batch_id)
        self._clock = PeriodicThread("pipeline-clock", [(SYNCHRONISE_SECONDS, context.synchronise)])
        self._finished = 0
        self._stopping = threading.Lock()
        self._is_stopped = False
        self._end_at = math.inf

    def _make_dispatcher(self, batch_id: int | None) -> None:
        context = self.context
        self._dispatcher = Dispatcher(
            context, self.broker.publish_items, batch_id=batch_id, owns_messages=context.settings.is_embedded
        )
        self._sweeps = Sweeps(context, keep=self._keep, rescued=self._rescued)
        self._pulse = DispatchLoop(context, self._dispatcher, dead=lambda: self._sweeps.dead)
        self._alert_watch = AlertWatch(
            context,
            self._alerts,
            dead=lambda: self._sweeps.dead,
            owed=self.wake_sender,
            reach_broker=None if context.settings.is_embedded else self._reach_broker,
        )

    @property
    def stage_engine(self) -> StageEngine:
        """The part that runs stages; only processes with that role have it."""
        if self._stage_engine is None:
            raise RuntimeError("this process runs no stages")
        return self._stage_engine

    def start(self) -> None:
        self._clock.start()
        if self._nudges:
            self._nudges.start()
        if self._stage_engine:
            self._stage_engine.start()
        if self._sender:
            self._sender.start()
        if self._exports:
            self._exports.start()
        if self._dispatcher:
            self._sweeps.start()
            self._pulse.start()
            self._alert_watch.start()

    def stop(self, *, deliver: bool = False, timeout: float | None = None) -> None:
        """Finish fast work, hand the rest back, and let other processes take over at once.

        A second stop, from another thread, shortens the first if it allows less time, and waits for it.

        Args:
            deliver: wait for callbacks that are due now, up to the time that a stop may take.
            timeout: seconds for work under way; None: `PIPELINE_STOP_SECONDS`.
        """
        seconds = self.context.settings.stop_seconds if timeout is None else timeout
        self._end_at = min(self._end_at, time.monotonic() + seconds)
        with self._stopping:
            if not self._is_stopped:
                self._stop(deliver)
                self._is_stopped = True

    def hurry(self) -> None:
        """Make a stop, current or future, wait for nothing more. Safe in a signal handler."""
        self._end_at = 0.0

    def _stop(self, deliver: bool) -> None:
        if self._dispatcher:
            self._pulse.ask_to_stop()
        if self._stage_engine:
            self._stage_engine.stop(self._left)
        if self._dispatcher:
            # Stopped before items are handed back: other processes are to release those.
            self._pulse.stop()
        if self._stage_engine:
            guarded(lambda: hand_back_items(self.context))
        if self._dispatcher:
            self._sweeps.stop()
            # Before the sender: it may have something to tell.
            self._alert_watch.stop()
        self._stop_sending(deliver)
        self._clock.stop()
        guarded(self.abandon)
        tracing.flush()

    def _stop_sending(self, deliver: bool) -> None:
        if self._nudges:
            self._nudges.stop()
        if self._exports:
            self._exports.stop()
        if self._sender:
            if deliver:
                wait_while(self._owes_callbacks, self._left)
            self._sender.stop(self._left())

    def _left(self) -> float:
        return max(self._end_at - time.monotonic(), 0.0)

    def abandon(self) -> None:
        """Hand back everything this process holds without stopping its threads first, at the very end of a program."""
        release(self.context.database, self.context.worker, self.context.now())
        hand_back(self.context)

    def count_finished(self, dispositions: Iterable[Disposition], *, in_child: bool = False) -> None:
        """Wake the sender if items became final, and the dispatcher when half of what may be in flight has.

        Args:
            in_child: another process has recorded them.
        """
        final = sum(each.kind in _FINAL for each in dispositions)
        if not final:
            return
        # A sender beside the stages is woken by the transactions here that leave something to claim.
        if in_child or not (self._sender and self._stage_engine):
            self.wake_sender(final)
        self._finished += final
        if self._dispatcher and self._finished >= self._dispatcher.wake_after:
            self._finished = 0
            self._pulse.wake()

    def wake_sender(self, items: int = 1) -> None:
        """Send callbacks of so many items that are due, here or in the process that has the sender."""
        if self._sender:
            self._sender.wake()
        elif self._nudges and self.context.settings.secrets:
            self._nudges.give(items)

    def wake_dispatch(self) -> None:
        """Dispatch now, if this process dispatches."""
        if self._dispatcher:
            self._pulse.wake()

    def look_for_lost(self) -> None:
        """Rescue now, if this process sweeps: another process has died."""
        if self._dispatcher:
            self._sweeps.hurry()

    def _reach_broker(self) -> None:
        with self.app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, timeout=BROKER_SECONDS)

    def _keep(self) -> None:
        if self._stage_engine:
            self._stage_engine.keep()

    def _rescued(self) -> None:
        self.wake_sender()
        self._pulse.wake()

    def _owes_callbacks(self) -> bool:
        context = self.context
        has_alerts = self._alerts.is_configured
        if not (context.settings.secrets or has_alerts):
            return False
        signs = bool(context.settings.secrets)
        return is_busy(
            context.database,
            context.worker,
            context.now(),
            sends=lambda origin: has_alerts if is_alert_channel(origin) else signs,
        )


#: By application: a process may have several embedded workers.
_running: dict[Celery, Engine] = {}


def running_engine(app: Celery | None = None) -> Engine:
    """Return the engine of an application's worker; None: of the one that was started last in this process."""
    return _running[next(reversed(_running)) if app is None else app]


def set_running(app: Celery, engine: Engine | None) -> None:
    """Make `engine` the one that the tasks of an application find; None when it stops."""
    _running.pop(app, None)
    if engine is not None:
        _running[app] = engine
