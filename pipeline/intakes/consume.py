"""Take messages from a source, accept them, and tell the source: again and again until somebody stops it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pipeline.batches.submission import Submission
from pipeline.context import Context
from pipeline.database import leases
from pipeline.errors import BacklogFull, SourceUnavailable, Unreachable
from pipeline.intakes import intakes
from pipeline.intakes.accept import Accepted, UnknownMessage, accept
from pipeline.intakes.roll import roll_due
from pipeline.intakes.rules.limits import Backpressure, RejectRate
from pipeline.intakes.rules.messages import Chunk
from pipeline.intakes.rules.options import IntakeOptions
from pipeline.intakes.sources.source import Gap, MessageSource, SourceMissing, SourceRestarted
from pipeline.intakes.sql import intakes as intake_rows
from pipeline.intakes.sql import received
from pipeline.log import get_logger

log = get_logger(__name__)

#: Seconds that a source waits for messages before it is asked again.
WAIT_SECONDS = 1.0
#: Seconds between two looks at how much the source holds.
BACKLOG_SECONDS = 15.0
#: Seconds between two attempts to reach a server: they double up to the last.
RECONNECT_SECONDS = (0.5, 30.0)


class Stop(Protocol):
    """How a consumer is stopped: both methods raise what ends it."""

    def check(self) -> None: ...

    def wait(self, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Consumption:
    """What a consumer reads and where it begins.

    Args:
        begins_at_end: whether a partition that was never read begins behind its last message.
        idle_seconds: end after the source had nothing for so long; None: never.
    """

    name: str
    intake_id: int
    submission: Submission
    options: IntakeOptions
    open_source: Callable[[], MessageSource]
    begins_at_end: bool = False
    idle_seconds: float | None = None


@dataclass(slots=True)
class Consumed:
    """What a consumer has done.

    Args:
        stopped_by: why the intake takes no more messages; None: none came.
    """

    accepted: int = 0
    rejected: int = 0
    duplicates: int = 0
    stopped_by: str | None = None


class IntakeConsumer:
    """One process that reads a source. Several may share an intake.

    Args:
        on_accepted: called after each commit that has made items.
    """

    def __init__(self, context: Context, consumption: Consumption, on_accepted: Callable[[], object]) -> None:
        self._context, self._given, self._on_accepted = context, consumption, on_accepted
        self._backpressure = Backpressure(consumption.options.max_pending)
        self._rate = RejectRate(consumption.options.max_reject_rate)
        # When the first of the looks at the source began that have found nothing; None: the last one found something.
        self._idle_since: float | None = None
        self._holds = False
        self._has_read = False
        self._pause = RECONNECT_SECONDS[0]
        self._next_look = 0.0
        self.done = Consumed()

    def run(self, stop: Stop) -> Consumed:
        """Consume until the intake is paused or no message comes; whatever `stop` raises ends it between chunks."""
        while True:
            try:
                self._read(stop)
                return self.done
            except SourceMissing as missing:
                if not self._has_read:
                    raise
                self._fail(f"{missing}; then run `pipeline intakes resume {self._given.name}`")
                return self.done
            except (SourceUnavailable, Unreachable) as error:
                log.warning("intake_waits", intake=self._given.name, error=str(error))
                pause = self._pause
                self._pause = min(2 * pause, RECONNECT_SECONDS[1])
                stop.wait(pause)

    def _read(self, stop: Stop) -> None:
        source = self._given.open_source()
        self._holds, self._has_read, self._idle_since = False, True, None
        try:
            while not self._is_over():
                stop.check()
                roll_due(self._context)
                if not self._holds_lease(source) or self._is_held_back():
                    self._idle_since = None
                    source.keep_alive()
                    stop.wait(WAIT_SECONDS)
                    continue
                self._place(source)
                self._take(source)
                self._pause = RECONNECT_SECONDS[0]
                self._look_at_backlog(source)
            self._next_look = 0.0
            self._look_at_backlog(source)
        finally:
            source.close()
            self._release_lease(source)

    def _take(self, source: MessageSource) -> None:
        begin, idle_since = time.monotonic(), self._idle_since
        self._idle_since = None
        try:
            chunk = source.take(self._given.options.chunk, self._wait_seconds)
        except Gap as gap:
            log.warning("intake_gap", intake=self._given.name, start=gap.start, end=gap.end)
            with self._context.database.write() as connection:
                intake_rows.count(connection, self._given.intake_id, gaps=1)
            return
        except SourceRestarted as restarted:
            name = self._given.name
            self._fail(f"{restarted}, below what is accepted; run `pipeline intakes rewind {name}` to read it anew")
            return
        if chunk.messages or chunk.ranges:
            self._accept(source, chunk)
        elif source.is_drained:
            self._idle_since = begin if idle_since is None else idle_since

    def _accept(self, source: MessageSource, chunk: Chunk) -> None:
        try:
            given = self._given
            accepted = accept(self._context, given.intake_id, given.submission, chunk, given.options)
        except BacklogFull:
            source.put_back()
            self._backpressure.is_held = True
            return
        except UnknownMessage as error:
            source.put_back()
            self._fail(str(error))
            return
        except BaseException:
            source.put_back()
            raise
        if accepted.is_stopped or accepted.go_back:
            source.put_back()
            if accepted.is_stopped:
                self.done.stopped_by = f"intake {self._given.name!r} was paused"
            return
        source.confirm()
        self._count(accepted)

    def _count(self, accepted: Accepted) -> None:
        self.done.accepted += accepted.items
        self.done.duplicates += accepted.duplicates
        self.done.rejected += sum(accepted.refused)
        if accepted.items:
            self._on_accepted()
        for each in accepted.refused:
            self._rate.add(each)
        if self._rate.is_exceeded:
            name = self._given.name
            (last,) = intakes.details(self._context, name, 1)["rejects"]
            self._fail(
                f"{self._rate.rejected:,} of the last {RejectRate.WINDOW:,} messages cannot be items: "
                f"{last['reason']}; mend the definition, then run `pipeline intakes resume {name}`"
            )

    def _fail(self, error: str) -> None:
        intakes.pause(self._context, self._given.name, error)
        log.error("intake_failed", intake=self._given.name, error=error)
        self.done.stopped_by = error

    def _is_over(self) -> bool:
        return self.done.stopped_by is not None or self._is_idle

    @property
    def _is_idle(self) -> bool:
        """Whether the source had nothing for so long; neither a slow commit nor a source that is down is idleness."""
        idle, since = self._given.idle_seconds, self._idle_since
        return idle is not None and since is not None and time.monotonic() - since >= idle

    @property
    def _lease_name(self) -> str:
        return f"intake:{self._given.name}"

    @property
    def _wait_seconds(self) -> float:
        idle = self._given.idle_seconds
        return WAIT_SECONDS if idle is None else min(WAIT_SECONDS, idle)

    def _is_held_back(self) -> bool:
        with self._context.database.read() as connection:
            return self._backpressure.update(intake_rows.count_pending(connection, self._given.intake_id))

    def _holds_lease(self, source: MessageSource) -> bool:
        """Return whether this process may read the source; another reads it, and this one stands by.

        A reader that has lost its lease without noticing is harmless: what it accepts is compared with the positions.
        """
        if not source.is_exclusive:
            return True
        context = self._context
        with context.database.write() as connection:
            now = context.now()
            until = now + context.lease
            held, self._holds = (
                self._holds,
                leases.acquire(connection, self._lease_name, context.worker, now=now, until=until),
            )
        if held and not self._holds:
            # Its positions are read anew once it reads again.
            source.put_back()
        return self._holds

    def _place(self, source: MessageSource) -> None:
        """Have every new partition read from its position on."""
        for partition in list(source.unplaced):
            known = self._positions()
            if partition not in known:
                self._begin(source, partition, is_first=not known)
                known = self._positions()
            source.seek(partition, known[partition])

    def _positions(self) -> dict[str, str]:
        with self._context.database.read() as connection:
            return received.positions(connection, self._given.intake_id)

    def _begin(self, source: MessageSource, partition: str, *, is_first: bool) -> None:
        """Record where a partition begins; with the first, where all begin: one that is added later is read whole."""
        begins = source.ends() if self._given.begins_at_end and is_first else {}
        begins.setdefault(partition, source.earliest(partition))
        with self._context.database.write() as connection:
            for each, offset in sorted(begins.items()):
                received.begin_partition(connection, self._given.intake_id, each, offset)

    def _look_at_backlog(self, source: MessageSource) -> None:
        """Record now and then how many messages wait in the source."""
        if time.monotonic() < self._next_look:
            return
        backlog = source.backlog(self._positions())
        self._next_look = time.monotonic() + BACKLOG_SECONDS
        with self._context.database.write() as connection:
            values = {"backlog": backlog, "backlog_at": self._context.now()}
            intake_rows.change(connection, self._given.intake_id, **values)

    def _release_lease(self, source: MessageSource) -> None:
        if source.is_exclusive:
            with self._context.database.write() as connection:
                leases.release(connection, self._lease_name, self._context.worker)
