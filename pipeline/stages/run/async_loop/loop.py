"""The event loop of a process, for callables that are `async def`."""

from __future__ import annotations

from threading import Event, RLock, Thread

from pipeline.log import get_logger
from pipeline.stages.run.async_loop.loop_thread import LoopCall, LoopThread
from pipeline.stages.run.call_lane import CallLane
from pipeline.stages.run.failure import TookTooLong

#: Seconds between two looks at whether the loop comes round.
WATCH_SECONDS = 0.5
#: Seconds that a loop may be late beyond a deadline; twice, since a process that was stopped wakes up late as a whole.
LATE_SECONDS = 0.5

_log = get_logger(__name__)


class EventLoop:
    """An event loop on a daemon thread, started at the first call.

    A call that exceeds its timeout is settled at once and its task cancelled. Code that blocks inside `async def`
    blocks every other call on the loop; such code belongs in a plain function. Where it blocks beyond a deadline, the
    loop is given up with its thread: the call that blocks it is settled as its timeout, the others begin anew on a
    fresh loop.

    Args:
        watch_seconds: time between two checks that the loop still comes round.
        late_seconds: how long the loop may be late beyond a deadline; applied twice, see `LATE_SECONDS`.
    """

    def __init__(self, *, watch_seconds: float = WATCH_SECONDS, late_seconds: float = LATE_SECONDS) -> None:
        self._watch_seconds = watch_seconds
        self._late_seconds = late_seconds
        # Reentrant: the thread of a loop may hand work back while it is given work.
        self._lock = RLock()
        self._current: LoopThread | None = None
        self._closed = Event()

    def serve(self, lane: CallLane, count: int) -> None:
        """Run `count` calls of `lane` at once. After `close` nothing is started."""
        self._put([lane] * count)

    def resume(self, places: list[LoopCall]) -> None:
        """Begin calls anew that a loop had begun which was given up."""
        self._put(places)

    def close(self) -> None:
        """Cancel what is under way, which never settles, and end the loop; waits about a second at most."""
        with self._lock:
            self._closed.set()
            current = self._current
        if current is not None:
            current.end()

    def _put(self, work: list[CallLane] | list[LoopCall]) -> None:
        with self._lock:
            if self._closed.is_set():
                return
            if self._current is None:
                self._current = LoopThread(self)
                Thread(target=self._watch, args=(self._current,), name="pipeline-loop-watchdog", daemon=True).start()
            self._current.put(work)

    def _watch(self, watched: LoopThread) -> None:
        while not self._closed.wait(self._watch_seconds):
            if not watched.is_idle and self._is_stuck(watched):
                self._replace(watched)
                return

    def _is_stuck(self, watched: LoopThread) -> bool:
        """Wait until the loop comes round; True where it does not, although a call is overdue."""
        came = watched.ping()
        while not came.wait(self._late_seconds):
            if self._closed.is_set():
                return False
            if watched.is_overdue() and not came.wait(self._late_seconds):
                return True
        return False

    def _replace(self, stuck: LoopThread) -> None:
        with self._lock:
            if self._closed.is_set():
                return
            wreck = stuck.give_up()
            self._current = None
        _log.warning("loop_blocked", steps=sorted({place.call.step for place in wreck.blocking}))
        self._put(wreck.others)
        self._put(wreck.promised)
        for place in wreck.blocking:
            if place.call.abandon(TookTooLong(place.call.timeout_seconds)):
                self.serve(place.lane, 1)
