"""Runs user code on the threads and the event loop of a process."""

from __future__ import annotations

from pipeline.stages.catalog.step import Mode, Step
from pipeline.stages.run.async_loop.loop import EventLoop
from pipeline.stages.run.call_lane import CallLane
from pipeline.stages.run.worker_threads import WorkerThreads


class Executor:
    """The worker threads and the event loop of a process, which needs only one executor.

    Both start with the first call, so creating an executor is cheap; create it after any fork. `close` stops both and
    never waits for a hung thread. Calls that are still running then never complete, and nothing is emitted for their
    items; the leases of these items expire without using up an attempt.

    Args:
        loop: runs coroutines; defaults to an event loop with default limits.
    """

    def __init__(self, loop: EventLoop | None = None) -> None:
        self._threads = WorkerThreads()
        self._loop = loop or EventLoop()

    def lane(self, step: Step) -> CallLane:
        """Return a lane for the calls of `step`, on the threads or the event loop depending on its mode."""
        return CallLane(self._loop if step.mode is Mode.ASYNC else self._threads, step.max_concurrency)

    def close(self) -> None:
        """Cancel running calls and stop the threads and the loop."""
        self._threads.close()
        self._loop.close()

    def __enter__(self) -> Executor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
