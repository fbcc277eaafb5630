"""The threads for alerts of a process that dispatches: one looks at the installation, one needs no database."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence

from pipeline.alerts.alerts_source import AlertsSource
from pipeline.alerts.episodes import open_episode, resolve_episode
from pipeline.alerts.evaluate import BATCH_ENDED, LOOK_SECONDS, OVER, Evaluator
from pipeline.alerts.rules.channel import ChannelFormat
from pipeline.alerts.rules.episode import Episode
from pipeline.alerts.rules.outage import Outage, OutageChange
from pipeline.alerts.sql import alerts
from pipeline.context import Context
from pipeline.database import leases
from pipeline.delivery.alerts.announce import Announcer
from pipeline.delivery.alerts.database_outage import DatabaseOutage
from pipeline.delivery.alerts.send_now import DirectSender
from pipeline.execution import dispatch
from pipeline.log import get_logger
from workers.engine.periodic import PeriodicThread, guarded

log = get_logger(__name__)

#: The lease of the process that looks and announces.
LEASE = "alerts"
#: Seconds between searches for what channels have yet to be told.
ANNOUNCE_SECONDS = 0.5
#: Seconds between questions to the broker.
ASK_SECONDS = 15.0
#: Seconds between checks for an outage, for a heartbeat that is due, and for alerts to repeat.
WATCH_SECONDS = 5.0
#: Seconds between repetitions to Alertmanager, which otherwise takes an alert for resolved.
REPEAT_SECONDS = 60.0
PRUNE_SECONDS = 3_600.0


class AlertWatch:
    """Looks, announces and watches until it is stopped. Of several processes, the one that holds the lease looks.

    Args:
        dead: returns the processes that are known to be gone, so that their lease need not run out.
        owed: called after deliveries to channels were written.
        reach_broker: raises if the broker does not answer; None: there is no broker.
    """

    def __init__(
        self,
        context: Context,
        source: AlertsSource,
        *,
        dead: Callable[[], Sequence[str]],
        owed: Callable[[], None],
        reach_broker: Callable[[], None] | None,
    ) -> None:
        self._context = context
        self._source = source
        self._dead = dead
        self._owed = owed
        self._reach_broker = reach_broker
        self._evaluator = Evaluator(context, source.current)
        self._announcer = Announcer(context.database, context.now, source.current)
        self._sender = DirectSender(context.settings.secrets, context.now)
        self._is_holder = False
        self._stopping = threading.Event()
        now = time.monotonic()
        self._database, self._broker = Outage(now), Outage(now)
        self._looked_at = self._beaten_at = self._repeated_at = -float("inf")
        self._outage = DatabaseOutage(
            context.database, source.current, self._sender, context.now, lambda seconds: self._stopping.wait(seconds)
        )
        self._renew_seconds = min(ASK_SECONDS, context.settings.lease_seconds / 3)
        self._rounds = PeriodicThread(
            "pipeline-alerts",
            [
                (self._renew_seconds, self._renew),
                (ANNOUNCE_SECONDS, self._announce),
                (LOOK_SECONDS, self._look),
                (PRUNE_SECONDS, self._prune),
            ],
            # A short run is over before the first look.
            later=[self._renew, self._announce, self._look, self._prune] if context.settings.is_embedded else [],
        )
        steps: list[tuple[float, Callable[[], object]]] = [(WATCH_SECONDS, self._watch)]
        if reach_broker is not None:
            steps.append((ASK_SECONDS, self._ask_broker))
        self._watching = PeriodicThread("pipeline-alert-watch", steps, later=[step for _, step in steps])

    def start(self) -> None:
        """Start both threads."""
        self._rounds.start()
        self._watching.start()

    def stop(self) -> None:
        """Stop, tell what ended last, and let another process take over."""
        self._stopping.set()
        self._watching.stop()
        self._rounds.stop()
        guarded(self._finish)
        self._outage.close()

    def _finish(self) -> None:
        context = self._context
        with context.database.read() as connection:
            is_of_batch = any(row["batch_id"] is not None for row in alerts.find_firing(connection))
        if is_of_batch and context.settings.is_embedded:
            # Nobody may look for a long time.
            with context.database.write() as connection:
                alerts.resolve_of_ended_batches(connection, BATCH_ENDED, context.now())
        if (self._is_holder or context.settings.is_embedded) and self._announcer.announce():
            self._owed()
        if self._is_holder:
            with context.database.write() as connection:
                leases.release(connection, LEASE, context.worker)

    def _renew(self) -> None:
        context = self._context
        self._is_holder = False
        now = context.now()
        with context.database.write() as connection:
            self._is_holder = leases.acquire(
                connection, LEASE, context.worker, now=now, until=now + context.lease, dead=self._dead()
            )
        self._database.answered(time.monotonic())

    def _announce(self) -> None:
        if self._is_holder and self._announcer.announce():
            self._owed()

    def _look(self) -> None:
        if not self._is_holder:
            return
        self._evaluator.look()
        self._looked_at = time.monotonic()
        self._announce()

    def _prune(self) -> None:
        while self._is_holder and not self._stopping.is_set() and self._announcer.prune():
            pass

    def _watch(self) -> None:
        """Check what needs no database, and what may take as long as a receiver does."""
        now, settings = time.monotonic(), self._source.current()
        after = settings.rules["database_unreachable"].thresholds["after_seconds"]
        match self._database.check(now, after, self._renew_seconds):
            case OutageChange.BEGAN:
                self._outage.began(self._database.silent_for(now))
            case OutageChange.ENDED:
                self._outage.ended()
        if self._database.is_out or not self._is_holder:
            return
        heartbeat = settings.heartbeat
        if heartbeat is not None and now - self._beaten_at >= heartbeat.every_seconds and self._works(now):
            self._beaten_at = now
            answer = self._sender.beat(heartbeat.url)
            if not answer.is_success:
                log.warning("heartbeat_failed", code=answer.code)
        if now - self._repeated_at >= REPEAT_SECONDS:
            self._repeated_at = now
            self._repeat()

    def _works(self, now: float) -> bool:
        """Return whether the rules were looked at lately, and somebody dispatches."""
        if now - self._looked_at > 2 * LOOK_SECONDS:
            return False
        if self._context.settings.is_embedded:
            return True
        with self._context.database.read() as connection:
            lease = leases.find(connection, dispatch.LEASE)
        return lease is not None and lease["until"] > self._context.now()

    def _repeat(self) -> None:
        """Tell Alertmanagers which alerts still fire."""
        settings = self._source.current()
        for channel in settings.channels.values():
            if channel.format is not ChannelFormat.ALERTMANAGER:
                continue
            firing = self._announcer.find_told(channel)
            answer = self._sender.refresh(channel, firing) if firing else None
            if answer is not None and not answer.is_success:
                log.warning("alert_not_repeated", channel=channel.name, code=answer.code)

    def _ask_broker(self) -> None:
        if self._reach_broker is None:
            return
        rule = self._source.current().rules["broker_unreachable"]
        try:
            self._reach_broker()
        except Exception as error:
            reason = type(error).__name__
        else:
            reason = ""
            self._broker.answered(time.monotonic())
        host, now = socket.gethostname(), time.monotonic()
        key = f"broker_unreachable:{host}"
        self._broker.check(now, rule.thresholds["after_seconds"], ASK_SECONDS)
        if self._broker.is_out and rule.is_enabled:
            seconds = int(self._broker.silent_for(now))
            summary = f"{host} has not reached the broker for {seconds} s ({reason})"
            value = {"host": host, "seconds": seconds, "threshold": rule.thresholds["after_seconds"]}
            episode = Episode("broker_unreachable", key, rule.severity, summary, value=value)
            with self._context.database.write() as connection:
                open_episode(connection, episode, self._context.now())
        elif not reason and self._is_firing(key):
            with self._context.database.write() as connection:
                resolve_episode(connection, key, OVER, self._context.now())

    def _is_firing(self, key: str) -> bool:
        with self._context.database.read() as connection:
            return any(row["key"] == key for row in alerts.find_firing(connection))
