"""The event loop of a process, for callables that are `async def`."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from threading import Lock, Thread, current_thread

from pipeline.log import get_logger
from pipeline.stages.call import Call, Lane
from pipeline.stages.failure import TookTooLong

#: Seconds that cancelled calls have to clean up when the loop closes.
GRACE_SECONDS = 0.5

_log = get_logger(__name__)


class Loop:
    """One event loop on a daemon thread, started at the first call.

    A call that exceeds its timeout is settled at once and its task cancelled. Code that blocks inside `async def`
    blocks every other call on the loop; such code belongs in a plain function.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: Thread | None = None
        self._closed = False
        self._calls: dict[asyncio.Task[object], Call] = {}

    def serve(self, lane: Lane, count: int) -> None:
        """Run `count` calls of `lane` at once. After `close` nothing is started."""
        with self._lock:
            if not self._closed:
                self._started().call_soon_threadsafe(self._fill, lane, count)

    def close(self) -> None:
        """Cancel what is under way, which never settles, and end the loop; waits about a second at most."""
        with self._lock:
            self._closed = True
            loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        with suppress(RuntimeError):  # The loop is gone already where close is called twice.
            loop.call_soon_threadsafe(loop.stop)
        if thread is not current_thread():
            thread.join(2 * GRACE_SECONDS)

    def _started(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = Thread(target=self._main, args=(self._loop,), name="pipeline-loop", daemon=True)
            self._thread.start()
        return self._loop

    def _main(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        while not self._closed:
            try:
                loop.run_forever()
            except BaseException as error:
                # SystemExit in a callback of user code leaves run_forever; the calls of others go on.
                _log.error("loop_interrupted", error=type(error).__name__)
        for call in self._calls.values():
            call.discard()
        _drain(loop)

    def _fill(self, lane: Lane, count: int) -> None:
        for _ in range(count):
            self._start_next(lane)

    def _start_next(self, lane: Lane) -> None:
        call = None if self._closed else lane.take()
        if call is None or self._loop is None:
            return
        task = self._loop.create_task(_answer(call))
        self._calls[task] = call
        expiry = self._loop.call_later(call.timeout_seconds, self._expire, task, lane)
        task.add_done_callback(lambda ended: self._finish(ended, lane, expiry))

    def _expire(self, task: asyncio.Task[object], lane: Lane) -> None:
        call = self._calls[task]
        if call.settle(TookTooLong(call.timeout_seconds)):
            _log.warning("call_abandoned", timeout_seconds=call.timeout_seconds)
            task.cancel()
            self._start_next(lane)

    def _finish(self, task: asyncio.Task[object], lane: Lane, expiry: asyncio.TimerHandle) -> None:
        expiry.cancel()
        call = self._calls.pop(task)
        if call.settle(asyncio.CancelledError("cancelled") if task.cancelled() else task.result()):
            self._start_next(lane)


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
