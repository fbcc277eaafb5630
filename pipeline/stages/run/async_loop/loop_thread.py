"""One event loop on a thread of its own, and the calls under way on it."""

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
from pipeline.stages.run.failure import TookTooLong
from pipeline.stages.run.worker_threads import abandon

#: Seconds that cancelled calls have to clean up when the loop ends.
GRACE_SECONDS = 0.5

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LoopCall:
    """A call of a lane; `deadline` is on the monotonic clock, infinite before it begins."""

    lane: CallLane
    call: Call
    deadline: float = float("inf")


class Owner(Protocol):
    """Where work goes that a loop finds itself with after it was given up."""

    def serve(self, lane: CallLane, count: int) -> None: ...

    def resume(self, places: list[LoopCall]) -> None: ...


@dataclass(frozen=True, slots=True)
class AbandonedLoop:
    """What was on a loop that was given up.

    Args:
        blocking: the calls that block it.
        others: calls that have to begin anew elsewhere.
        promised: lanes whose places it had not got round to, once for each place.
    """

    blocking: list[LoopCall]
    others: list[LoopCall]
    promised: list[CallLane]


class LoopThread:
    """An event loop that runs calls until it is ended, or given up because a call blocks it."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._main, name="pipeline-loop", daemon=True)
        self._places: dict[asyncio.Task[object], LoopCall] = {}
        # What the loop has not got round to: a lane's next call, or a call that another loop had begun.
        self._inbox: deque[CallLane | LoopCall] = deque()
        self._has_ended = False
        self._is_given_up = False
        self._thread.start()

    def put(self, work: list[CallLane] | list[LoopCall]) -> None:
        """Run the next call of each lane, or these calls, at once."""
        self._inbox.extend(work)
        self._loop.call_soon_threadsafe(self._open, len(work))

    def end(self) -> None:
        """Cancel what is under way, which never settles, and end the loop; waits about a second at most."""
        self._has_ended = True
        self._stop()
        if self._thread is not current_thread():
            self._thread.join(2 * GRACE_SECONDS)

    @property
    def is_idle(self) -> bool:
        return not self._places and not self._inbox

    def ping(self) -> Event:
        """Return an event that the loop sets when it comes round."""
        came = Event()
        with suppress(RuntimeError):  # The loop is closed already.
            self._loop.call_soon_threadsafe(came.set)
        return came

    def is_overdue(self) -> bool:
        """Whether a call should have been cut by now, or none that anyone waits for is under way."""
        deadlines = [place.deadline for place in self._awaited().values()]
        return min(deadlines, default=0.0) <= time.monotonic()

    def give_up(self) -> AbandonedLoop:
        """Take everything from a loop that does not come round, and end it whenever it does."""
        # First of all: what the loop begins from here on, it hands over itself.
        self._is_given_up = True
        running, places = asyncio.current_task(self._loop), self._awaited()
        if running in self._places:
            blocking = {running}
        else:
            # A task or a callback that a call has started: of these only the time is known.
            blocking = {task for task, place in places.items() if place.deadline <= time.monotonic()}
        inbox = list(self._emptied())
        abandon(self._thread)
        self._stop()
        return AbandonedLoop(
            blocking=[place for task, place in places.items() if task in blocking],
            others=[place for task, place in places.items() if task not in blocking]
            + [each for each in inbox if isinstance(each, LoopCall)],
            promised=[each for each in inbox if isinstance(each, CallLane)],
        )

    def _awaited(self) -> dict[asyncio.Task[object], LoopCall]:
        return {task: place for task, place in self._places.copy().items() if not place.call.is_settled}

    def _emptied(self) -> Iterator[CallLane | LoopCall]:
        with suppress(IndexError):
            while True:
                yield self._inbox.popleft()

    def _stop(self) -> None:
        with suppress(RuntimeError):  # The loop is closed already.
            self._loop.call_soon_threadsafe(self._loop.stop)

    def _main(self) -> None:
        asyncio.set_event_loop(self._loop)
        while not (self._has_ended or self._is_given_up):
            try:
                self._loop.run_forever()
            except BaseException as error:
                # SystemExit in a callback of user code leaves run_forever; the calls of others go on.
                _log.error("loop_interrupted", error=type(error).__name__)
        if not self._is_given_up:
            for place in self._places.values():
                place.call.discard()
        _drain(self._loop)

    def _open(self, count: int) -> None:
        for _ in range(count):
            try:
                work = self._inbox.popleft()
            except IndexError:
                # Whoever gave this loop up has taken it.
                return
            if isinstance(work, LoopCall):
                self._begin(work.lane, work.call)
            else:
                self._begin_next(work)

    def _begin_next(self, lane: CallLane) -> None:
        if self._is_given_up:
            self._owner.serve(lane, 1)
        elif not self._has_ended and (call := lane.take()) is not None:
            self._begin(lane, call)

    def _begin(self, lane: CallLane, call: Call) -> None:
        task = self._loop.create_task(_answer(call))
        self._places[task] = place = LoopCall(lane, call, time.monotonic() + call.timeout_seconds)
        expiry = self._loop.call_later(call.timeout_seconds, self._expire, task)
        task.add_done_callback(lambda ended: self._finish(ended, expiry))
        if self._is_given_up:
            # Given up between the look at it and now: the call may be among the others or not. Twice does no harm.
            self._owner.resume([place])

    def _expire(self, task: asyncio.Task[object]) -> None:
        place = self._places[task]
        if not self._is_given_up and place.call.abandon(TookTooLong(place.call.timeout_seconds)):
            task.cancel()
            self._begin_next(place.lane)

    def _finish(self, task: asyncio.Task[object], expiry: asyncio.TimerHandle) -> None:
        expiry.cancel()
        if self._is_given_up:
            # The call was settled or begins anew elsewhere; what it came to here is late.
            return
        place = self._places.pop(task)
        if place.call.settle(asyncio.CancelledError("cancelled") if task.cancelled() else task.result()):
            self._begin_next(place.lane)


async def _answer(call: Call) -> object:
    try:
        return await call.target(call.argument)
    except BaseException as error:
        # A task hands SystemExit on to the loop; here it is one item's failure.
        return error


def _drain(loop: asyncio.AbstractEventLoop) -> None:
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    try:
        if tasks:
            loop.run_until_complete(asyncio.wait(tasks, timeout=GRACE_SECONDS))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()
