"""The event loop of a process, for `async def` callables, replaced if a call blocks it."""

from __future__ import annotations

from threading import Event, RLock, Thread

from pipeline.log import get_logger
from pipeline.stages.run.async_loop.loop_thread import LoopCall, LoopThread
from pipeline.stages.run.call_lane import CallLane
from pipeline.stages.run.failure import CallTimeout

#: Seconds between two checks of whether the loop responds.
WATCH_SECONDS = 0.5
#: How long the loop may fail to respond while a call is overdue, in seconds. This is granted twice, because after a
#: process was suspended all of it is late.
LATE_SECONDS = 0.5

_log = get_logger(__name__)


class EventLoop:
    """An event loop on a daemon thread, started with the first call.

    A call that exceeds its timeout fails at once, and its task is cancelled. Blocking code inside `async def` blocks
    every other call on the loop; it belongs in a plain function. If a call blocks the loop beyond its deadline, the
    loop and its thread are abandoned: the blocking call fails with a timeout, and the others restart on a new loop.

    Args:
        watch_seconds: time between two checks of whether the loop responds.
        late_seconds: how long the loop may fail to respond while a call is overdue; granted twice, see `LATE_SECONDS`.
    """

    def __init__(self, *, watch_seconds: float = WATCH_SECONDS, late_seconds: float = LATE_SECONDS) -> None:
        self._watch_seconds = watch_seconds
        self._late_seconds = late_seconds
        # Reentrant: a loop's thread may hand work back while work is being submitted to it.
        self._lock = RLock()
        self._current: LoopThread | None = None
        self._closed = Event()

    def run_lane(self, lane: CallLane, slots: int) -> None:
        """Run up to `slots` calls of `lane` concurrently. After `close`, nothing is started."""
        self._submit([lane] * slots)

    def restart_calls(self, calls: list[LoopCall]) -> None:
        """Restart calls that ran on an abandoned loop."""
        self._submit(calls)

    def close(self) -> None:
        """Cancel running calls, which never complete, and stop the loop; waits for at most about a second."""
        with self._lock:
            self._closed.set()
            current = self._current
        if current is not None:
            current.stop()

    def _submit(self, work: list[CallLane] | list[LoopCall]) -> None:
        with self._lock:
            if self._closed.is_set():
                return
            if self._current is None:
                self._current = LoopThread(self)
                Thread(target=self._watch, args=(self._current,), name="pipeline-loop-watchdog", daemon=True).start()
            self._current.submit(work)

    def _watch(self, watched: LoopThread) -> None:
        while not self._closed.wait(self._watch_seconds):
            if not watched.is_idle and self._is_stuck(watched):
                self._replace(watched)
                return

    def _is_stuck(self, watched: LoopThread) -> bool:
        """Wait until the loop responds; return True if it fails to respond while a call is overdue."""
        pong = watched.ping()
        while not pong.wait(self._late_seconds):
            if self._closed.is_set():
                return False
            if watched.is_overdue() and not pong.wait(self._late_seconds):
                return True
        return False

    def _replace(self, stuck: LoopThread) -> None:
        with self._lock:
            if self._closed.is_set():
                return
            abandoned = stuck.abandon()
            self._current = None
        _log.warning("loop_blocked", steps=sorted({blocking.call.step for blocking in abandoned.blocking}))
        self._submit(abandoned.interrupted)
        self._submit(abandoned.queued_lanes)
        for blocking in abandoned.blocking:
            if blocking.call.abandon(CallTimeout(blocking.call.timeout_seconds)):
                self.run_lane(blocking.lane, 1)
