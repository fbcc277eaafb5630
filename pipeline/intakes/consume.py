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
from pipeline.intakes.sources.source import Gap, MessageSource, SourceRestarted
from pipeline.intakes.sql import intakes as intake_rows
from pipeline.intakes.sql import received
from pipeline.log import get_logger

log = get_logger(__name__)

#: Seconds that a source waits for messages before it is asked again.
WAIT_SECONDS = 1.0
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
        self._is_reader = False
        self.done = Consumed()

    def run(self, stop: Stop) -> Consumed:
        """Consume until the intake is paused or no message comes; whatever `stop` raises ends it between chunks."""
        pause = RECONNECT_SECONDS[0]
        while True:
            try:
                self._read(stop)
                return self.done
            except (SourceUnavailable, Unreachable) as error:
                log.warning("intake_waits", intake=self._given.name, error=str(error))
                stop.wait(pause)
                pause = min(2 * pause, RECONNECT_SECONDS[1])

    def _read(self, stop: Stop) -> None:
        source = self._given.open_source()
        self._is_reader, self._idle_since = False, None
        try:
            while not self._is_over():
                stop.check()
                roll_due(self._context)
                if not self._holds_lease(source) or self._is_held_back():
                    self._idle_since = None
                    stop.wait(WAIT_SECONDS)
                    continue
                self._take(source)
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
        if chunk.messages:
            self._accept(source, chunk)
        else:
            self._idle_since = begin if idle_since is None else idle_since

    def _accept(self, source: MessageSource, chunk: Chunk) -> None:
        try:
            given = self._given
            accepted = accept(self._context, given.intake_id, given.submission, chunk, given.options)
        except BacklogFull:
            self._put_back(source)
            self._backpressure.is_held = True
            return
        except UnknownMessage as error:
            self._put_back(source)
            self._fail(str(error))
            return
        except BaseException:
            self._put_back(source)
            raise
        if accepted.is_stopped or accepted.go_back:
            self._put_back(source)
            self._is_reader = False
            if accepted.is_stopped:
                self.done.stopped_by = f"intake {self._given.name!r} was paused"
            return
        source.confirm()
        self._count(accepted)

    def _put_back(self, source: MessageSource) -> None:
        # The position is read anew before the next chunk.
        self._is_reader = False
        source.put_back()

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
    def _wait_seconds(self) -> float:
        idle = self._given.idle_seconds
        return WAIT_SECONDS if idle is None else min(WAIT_SECONDS, idle)

    def _is_held_back(self) -> bool:
        with self._context.database.read() as connection:
            return self._backpressure.update(intake_rows.count_pending(connection, self._given.intake_id))

    @property
    def _lease_name(self) -> str:
        return f"intake:{self._given.name}"

    def _holds_lease(self, source: MessageSource) -> bool:
        """Return whether this process reads the partitions; another may, and this one stands by.

        A reader that has lost its lease without noticing is harmless: what it accepts is compared with the positions.
        """
        if not source.partitions:
            return True
        context = self._context
        with context.database.write() as connection:
            now = context.now()
            until = now + context.lease
            if not leases.acquire(connection, self._lease_name, context.worker, now=now, until=until):
                self._is_reader = False
                return False
        if not self._is_reader:
            self._seek(source)
            self._is_reader = True
        return True

    def _seek(self, source: MessageSource) -> None:
        for partition in source.partitions:
            begin = source.latest(partition) if self._given.begins_at_end else source.first
            with self._context.database.write() as connection:
                received.begin_partition(connection, self._given.intake_id, partition, begin)
                source.seek(partition, received.positions(connection, self._given.intake_id)[partition])

    def _release_lease(self, source: MessageSource) -> None:
        if source.partitions:
            with self._context.database.write() as connection:
                leases.release(connection, self._lease_name, self._context.worker)
