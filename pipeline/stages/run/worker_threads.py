"""Daemon threads for callables that may block or hang."""

from __future__ import annotations

import ctypes
import math
import time
from collections import deque
from dataclasses import dataclass, field
from threading import Condition, Event, Lock, Thread

from pipeline.stages.run.call_lane import Call, CallLane
from pipeline.stages.run.failure import CallTimeout

#: Seconds without work after which a thread ends.
IDLE_SECONDS = 30.0

#: Limit of threads that may hang in abandoned calls. Beyond this, no threads are started as long as any are left.
MAX_ABANDONED = 256


class Abandoned(BaseException):
    """Raised in a thread whose call has been abandoned; user code should let it propagate."""


def interrupt_thread(thread: Thread) -> None:
    """Raise `Abandoned` in a thread, when it next executes Python code."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(Abandoned))


class WorkerThreads:
    """Runs calls in threads that start on demand, at most one per slot of a lane, and end when idle.

    Only one thread is woken at a time; once it runs, it wakes the next. Calls that block therefore get a thread each
    without delay, while calls that only compute share a few threads, which is faster because the GIL does not let them
    run in parallel anyway.

    A call that exceeds its timeout is abandoned: it fails at once, `Abandoned` is raised in its thread, which ends
    Python loops, and another thread takes over its slot. A call that blocks in native code keeps its thread until it
    returns.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._work = Condition(self._lock)
        self._deadlines = Condition(self._lock)
        # Lanes with a slot that has no thread yet, once per slot.
        self._lanes: deque[CallLane] = deque()
        self._workers: set[_Worker] = set()
        self._idle = 0
        # Threads that have not returned yet from abandoned calls.
        self._abandoned = 0
        # Whether a thread was woken or started and is not running yet.
        self._is_waking = False
        self._watched_until = math.inf
        self._has_watchdog = False
        self._closed = False

    def run_lane(self, lane: CallLane, slots: int) -> None:
        """Run calls of `lane` in up to `slots` threads. After `close`, nothing is started."""
        with self._lock:
            if self._closed:
                return
            self._lanes.extend([lane] * slots)
            self._wake_one()

    def close(self) -> None:
        """Stop the threads without waiting for them. Running calls are cancelled and never complete."""
        with self._lock:
            self._closed = True
            self._lanes.clear()
            busy = [(worker, worker.current.call) for worker in self._workers if worker.current is not None]
            self._work.notify_all()
            self._deadlines.notify_all()
        for worker, call in busy:
            if call.cancel():
                worker.interrupt()

    def _wake_one(self) -> None:
        if self._is_waking or not self._lanes:
            return
        if self._idle:
            self._work.notify()
        elif not self._start_worker():
            return
        self._is_waking = True

    def _start_worker(self) -> bool:
        if self._abandoned >= MAX_ABANDONED and self._workers:
            return False
        worker = _Worker()
        worker.thread = Thread(target=self._run_worker, args=(worker,), name="pipeline-stage", daemon=True)
        try:
            worker.thread.start()
        except RuntimeError:
            # The system's thread limit is reached; the existing threads serve these lanes when they become free.
            if not self._workers:
                raise
            return False
        self._workers.add(worker)
        return True

    def _run_worker(self, worker: _Worker) -> None:
        with self._lock:
            self._is_waking = False
        try:
            while (lane := self._next_lane(worker)) is not None:
                while not self._closed and (call := lane.take_next()) is not None:
                    if not self._run_call(worker, lane, call):
                        self._on_abandoned_thread_end()
                        return
        except Abandoned:
            # Raised just after the call had ended; this thread has already been replaced.
            self._on_abandoned_thread_end()

    def _on_abandoned_thread_end(self) -> None:
        with self._lock:
            self._abandoned -= 1
            self._wake_one()

    def _next_lane(self, worker: _Worker) -> CallLane | None:
        """Wait for a lane to serve; None ends the thread."""
        with self._lock:
            while not self._lanes and not self._closed:
                if not self._wait_for_work():
                    break
            if not self._lanes:
                self._workers.discard(worker)
                return None
            lane = self._lanes.popleft()
            self._wake_one()
            return lane

    def _wait_for_work(self) -> bool:
        self._idle += 1
        was_woken = self._work.wait(IDLE_SECONDS)
        self._idle -= 1
        # Even after a timeout, because a wake-up may have arrived at the same moment.
        self._is_waking = False
        return was_woken

    def _run_call(self, worker: _Worker, lane: CallLane, call: Call) -> bool:
        """Run one call; return False if this thread was abandoned in the meantime."""
        self._watch(worker, _RunningCall(lane, call, time.monotonic() + call.timeout_seconds))
        answer = _call_target(call)
        if call.complete(answer):
            worker.current = None
            return True
        worker.interrupted.wait()
        # `Abandoned` is about to be raised. Let it happen here, where it is caught, not while `threading` cleans up.
        for _ in range(10):
            time.sleep(0)
        return False

    def _watch(self, worker: _Worker, current: _RunningCall) -> None:
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
                if current.call.abandon(CallTimeout(current.call.timeout_seconds)):
                    worker.interrupt()
                    self._replace(worker, current.lane)

    def _overdue(self) -> list[tuple[_Worker, _RunningCall]] | None:
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
        self.run_lane(lane, 1)


@dataclass(frozen=True, slots=True)
class _RunningCall:
    """The call that a thread is running; `deadline` is on the monotonic clock."""

    lane: CallLane
    call: Call
    deadline: float


@dataclass(slots=True, eq=False)
class _Worker:
    thread: Thread = field(init=False)
    current: _RunningCall | None = None
    interrupted: Event = field(default_factory=Event)

    def interrupt(self) -> None:
        """Raise `Abandoned` in the thread, when it next executes Python code."""
        interrupt_thread(self.thread)
        self.interrupted.set()


def _call_target(call: Call) -> object:
    try:
        return call.target(call.argument)
    except BaseException as error:
        # SystemExit in user code is a failure of its item, and must not end a thread that serves other items.
        return error
