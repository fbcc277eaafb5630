"""An event loop on a dedicated thread, and the calls running on it."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from threading import Event, Thread, current_thread
from typing import Protocol

from pipeline.log import get_logger
from pipeline.stages.run.call_lane import Call, CallLane
from pipeline.stages.run.failure import CallTimeout
from pipeline.stages.run.worker_threads import interrupt_thread

#: Seconds that cancelled calls have to clean up when the loop stops.
GRACE_SECONDS = 0.5

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LoopCall:
    """A call of a lane on the loop; `deadline` is on the monotonic clock, and infinite until the call starts."""

    lane: CallLane
    call: Call
    deadline: float = float("inf")


class LoopOwner(Protocol):
    """Takes back the work that an abandoned loop still picks up."""

    def run_lane(self, lane: CallLane, slots: int) -> None: ...

    def restart_calls(self, calls: list[LoopCall]) -> None: ...


@dataclass(frozen=True, slots=True)
class AbandonedLoop:
    """The work of an abandoned loop.

    Args:
        blocking: the calls that block the loop.
        interrupted: the other calls, which must start again elsewhere.
        queued_lanes: lanes with slots for which no call was started yet, once per slot.
    """

    blocking: list[LoopCall]
    interrupted: list[LoopCall]
    queued_lanes: list[CallLane]


class LoopThread:
    """An event loop that runs calls until it is stopped, or abandoned because a call blocks it."""

    def __init__(self, owner: LoopOwner) -> None:
        self._owner = owner
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._run, name="pipeline-loop", daemon=True)
        self._running: dict[asyncio.Task[object], LoopCall] = {}
        # Work not yet started: the next call of a lane, or a call that another loop had started.
        self._inbox: deque[CallLane | LoopCall] = deque()
        self._is_stopped = False
        self._is_abandoned = False
        self._thread.start()

    def submit(self, work: list[CallLane] | list[LoopCall]) -> None:
        """Start the next call of each lane, or these calls."""
        self._inbox.extend(work)
        self._loop.call_soon_threadsafe(self._start_queued, len(work))

    def stop(self) -> None:
        """Cancel running calls, which never complete, and stop the loop; waits for about a second at most."""
        self._is_stopped = True
        self._stop_loop()
        if self._thread is not current_thread():
            self._thread.join(2 * GRACE_SECONDS)

    @property
    def is_idle(self) -> bool:
        return not self._running and not self._inbox

    def ping(self) -> Event:
        """Return an event that the loop sets when it next runs its callbacks."""
        pong = Event()
        with suppress(RuntimeError):  # The loop is closed already.
            self._loop.call_soon_threadsafe(pong.set)
        return pong

    def is_overdue(self) -> bool:
        """Return whether a call should have timed out by now, or there is no incomplete call."""
        deadlines = [running.deadline for running in self._incomplete().values()]
        return min(deadlines, default=0.0) <= time.monotonic()

    def abandon(self) -> AbandonedLoop:
        """Take all work from a loop that does not respond, and let it end as soon as it responds."""
        # Set first: from here on, the loop itself hands over any call that it starts.
        self._is_abandoned = True
        current, incomplete = asyncio.current_task(self._loop), self._incomplete()
        if current in self._running:
            blocking = {current}
        else:
            # A task or callback started by some call blocks the loop; only the deadlines tell which calls to blame.
            blocking = {task for task, running in incomplete.items() if running.deadline <= time.monotonic()}
        inbox = list(self._drain_inbox())
        interrupt_thread(self._thread)
        self._stop_loop()
        return AbandonedLoop(
            blocking=[running for task, running in incomplete.items() if task in blocking],
            interrupted=[running for task, running in incomplete.items() if task not in blocking]
            + [work for work in inbox if isinstance(work, LoopCall)],
            queued_lanes=[work for work in inbox if isinstance(work, CallLane)],
        )

    def _incomplete(self) -> dict[asyncio.Task[object], LoopCall]:
        return {task: running for task, running in self._running.copy().items() if not running.call.is_complete}

    def _drain_inbox(self) -> Iterator[CallLane | LoopCall]:
        with suppress(IndexError):
            while True:
                yield self._inbox.popleft()

    def _stop_loop(self) -> None:
        with suppress(RuntimeError):  # The loop is closed already.
            self._loop.call_soon_threadsafe(self._loop.stop)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        while not (self._is_stopped or self._is_abandoned):
            try:
                self._loop.run_forever()
            except BaseException as error:
                # A callback of user code that raises SystemExit ends run_forever; the other calls must go on.
                _log.error("loop_interrupted", error=type(error).__name__)
        if not self._is_abandoned:
            for running in self._running.values():
                running.call.cancel()
        _close_loop(self._loop)

    def _start_queued(self, count: int) -> None:
        for _ in range(count):
            try:
                work = self._inbox.popleft()
            except IndexError:
                # The loop was abandoned, and its inbox emptied.
                return
            if isinstance(work, LoopCall):
                self._start_call(work.lane, work.call)
            else:
                self._start_next(work)

    def _start_next(self, lane: CallLane) -> None:
        if self._is_abandoned:
            self._owner.run_lane(lane, 1)
        elif not self._is_stopped and (call := lane.take_next()) is not None:
            self._start_call(lane, call)

    def _start_call(self, lane: CallLane, call: Call) -> None:
        task = self._loop.create_task(_await_target(call))
        self._running[task] = running = LoopCall(lane, call, time.monotonic() + call.timeout_seconds)
        timer = self._loop.call_later(call.timeout_seconds, self._on_timeout, task)
        task.add_done_callback(lambda ended: self._on_done(ended, timer))
        if self._is_abandoned:
            # Abandoned in the meantime, so the call may or may not be among those taken. Starting it twice is harmless.
            self._owner.restart_calls([running])

    def _on_timeout(self, task: asyncio.Task[object]) -> None:
        running = self._running[task]
        if not self._is_abandoned and running.call.abandon(CallTimeout(running.call.timeout_seconds)):
            task.cancel()
            self._start_next(running.lane)

    def _on_done(self, task: asyncio.Task[object], timer: asyncio.TimerHandle) -> None:
        timer.cancel()
        if self._is_abandoned:
            # The call is complete or starts again elsewhere; its answer here comes too late.
            return
        running = self._running.pop(task)
        if running.call.complete(asyncio.CancelledError("cancelled") if task.cancelled() else task.result()):
            self._start_next(running.lane)


async def _await_target(call: Call) -> object:
    try:
        return await call.target(call.argument)
    except BaseException as error:
        # A task would pass SystemExit on to the loop; here it is a failure of one item.
        return error


def _close_loop(loop: asyncio.AbstractEventLoop) -> None:
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    try:
        if tasks:
            loop.run_until_complete(asyncio.wait(tasks, timeout=GRACE_SECONDS))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        # A coroutine that ignores its cancellation has timed out, which its item says; its end is of no interest.
        loop.set_exception_handler(lambda _loop, _context: None)
        loop.close()
