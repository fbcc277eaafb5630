"""Daemon threads for callables that may block or hang."""

from __future__ import annotations

import ctypes
import math
import time
from collections import deque
from dataclasses import dataclass, field
from threading import Condition, Event, Lock, Thread

from pipeline.stages.run.call_lane import Call, CallLane
from pipeline.stages.run.failure import TookTooLong

#: Seconds without work after which a thread ends.
IDLE_SECONDS = 30.0

#: Threads that may hang in calls that were given up, before no more are hired beside those that are left.
MOST_ABANDONED = 256


class Abandoned(BaseException):
    """Raised inside a thread whose call nobody waits for any more; user code should let it pass."""


def abandon(thread: Thread) -> None:
    """Raise `Abandoned` in a thread, at its next step of Python code."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(Abandoned))


class WorkerThreads:
    """Up to as many threads as the lanes ask for, started on demand and kept while there is work.

    One thread at a time is woken, and wakes the next when it comes to run. So calls that block get a thread each at
    once, while calls that only compute are run by a few threads, which is faster: they cannot run side by side anyway.

    A call that exceeds its timeout is abandoned: it is settled at once, `Abandoned` is raised in its thread, which ends
    loops of Python code, and its place goes to another thread. What blocks in native code keeps its
    thread until it returns.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._work = Condition(self._lock)
        self._deadlines = Condition(self._lock)
        self._lanes: deque[CallLane] = deque()
        self._workers: set[_Worker] = set()
        self._idle = 0
        # Threads that did not come back yet from calls that were given up.
        self._abandoned = 0
        # A thread was woken or hired and has not come to run yet.
        self._is_waking = False
        self._watched_until = math.inf
        self._has_watchdog = False
        self._closed = False

    def serve(self, lane: CallLane, count: int) -> None:
        """Give `count` threads to `lane`. After `close` nothing is started."""
        with self._lock:
            if self._closed:
                return
            self._lanes.extend([lane] * count)
            self._wake_one()

    def close(self) -> None:
        """End the threads without waiting for any. Calls under way are given up and never settle."""
        with self._lock:
            self._closed = True
            self._lanes.clear()
            busy = [(worker, worker.current.call) for worker in self._workers if worker.current is not None]
            self._work.notify_all()
            self._deadlines.notify_all()
        for worker, call in busy:
            if call.discard():
                worker.interrupt()

    def _wake_one(self) -> None:
        if self._is_waking or not self._lanes:
            return
        if self._idle:
            self._work.notify()
        elif not self._hire():
            return
        self._is_waking = True

    def _hire(self) -> bool:
        if self._abandoned >= MOST_ABANDONED and self._workers:
            return False
        worker = _Worker()
        worker.thread = Thread(target=self._employ, args=(worker,), name="pipeline-stage", daemon=True)
        try:
            worker.thread.start()
        except RuntimeError:
            # The machine gives no more threads; those that exist come to these lanes when they are free.
            if not self._workers:
                raise
            return False
        self._workers.add(worker)
        return True

    def _employ(self, worker: _Worker) -> None:
        with self._lock:
            self._is_waking = False
        try:
            while (lane := self._next_lane(worker)) is not None:
                while not self._closed and (call := lane.take()) is not None:
                    if not self._run(worker, lane, call):
                        self._come_back()
                        return
        except Abandoned:
            # Arrived when the call had just ended; this thread is replaced already.
            self._come_back()

    def _come_back(self) -> None:
        with self._lock:
            self._abandoned -= 1
            self._wake_one()

    def _next_lane(self, worker: _Worker) -> CallLane | None:
        """Wait for work. None ends the thread."""
        with self._lock:
            while not self._lanes and not self._closed:
                if not self._wait():
                    break
            if not self._lanes:
                self._workers.discard(worker)
                return None
            lane = self._lanes.popleft()
            self._wake_one()
            return lane

    def _wait(self) -> bool:
        self._idle += 1
        was_woken = self._work.wait(IDLE_SECONDS)
        self._idle -= 1
        # Even if it was not: a wake-up and the end of the wait may have met.
        self._is_waking = False
        return was_woken

    def _run(self, worker: _Worker, lane: CallLane, call: Call) -> bool:
        """Run one call; False where this thread was abandoned meanwhile."""
        self._watch(worker, _Current(lane, call, time.monotonic() + call.timeout_seconds))
        answer = _answer(call)
        if call.settle(answer):
            worker.current = None
            return True
        worker.interrupted.wait()
        # `Abandoned` is on its way: meet it here, where it is caught, and not in the last lines of `threading`.
        for _ in range(10):
            time.sleep(0)
        return False

    def _watch(self, worker: _Worker, current: _Current) -> None:
        with self._lock:
            worker.current = current
            if not self._has_watchdog:
                self._has_watchdog = True
                Thread(target=self._abandon_overdue, name="pipeline-watchdog", daemon=True).start()
            if current.deadline < self._watched_until:
                self._watched_until = current.deadline
                self._deadlines.notify()

    def _abandon_overdue(self) -> None:
        while (overdue := self._overdue()) is not None:
            for worker, current in overdue:
                if current.call.abandon(TookTooLong(current.call.timeout_seconds)):
                    worker.interrupt()
                    self._replace(worker, current.lane)

    def _overdue(self) -> list[tuple[_Worker, _Current]] | None:
        """Wait until calls exceed their timeouts and return them; None once closed."""
        with self._lock:
            while not self._closed:
                now = time.monotonic()
                running = [(worker, current) for worker in self._workers if (current := worker.current) is not None]
                overdue = [(worker, current) for worker, current in running if current.deadline <= now]
                if overdue:
                    for worker, _ in overdue:
                        worker.current = None
                    return overdue
                self._watched_until = min((current.deadline for _, current in running), default=math.inf)
                self._deadlines.wait(None if self._watched_until == math.inf else self._watched_until - now)
            return None

    def _replace(self, worker: _Worker, lane: CallLane) -> None:
        with self._lock:
            self._workers.discard(worker)
            self._abandoned += 1
        self.serve(lane, 1)


@dataclass(frozen=True, slots=True)
class _Current:
    """What a thread is doing; `deadline` is on the monotonic clock."""

    lane: CallLane
    call: Call
    deadline: float


@dataclass(slots=True, eq=False)
class _Worker:
    thread: Thread = field(init=False)
    current: _Current | None = None
    interrupted: Event = field(default_factory=Event)

    def interrupt(self) -> None:
        """Raise `Abandoned` in the thread, at its next step of Python code."""
        abandon(self.thread)
        self.interrupted.set()


def _answer(call: Call) -> object:
    try:
        return call.target(call.argument)
    except BaseException as error:
        # SystemExit of user code is its item's failure, not the end of a thread that others count on.
        return error
