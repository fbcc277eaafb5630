"""Where user code runs: a process's event loop and its threads."""

from __future__ import annotations

from pipeline.stages.catalog.step import Mode, Step
from pipeline.stages.run.async_loop.loop import EventLoop
from pipeline.stages.run.call_lane import CallLane
from pipeline.stages.run.worker_threads import WorkerThreads


class Executor:
    """One per process; both parts start at the first call, so make it freely and after any fork.

    `close` ends both and never waits for a hung thread; calls under way then never settle, and nothing is emitted for
    their items: their leases run out, which costs them no attempt.

    Args:
        loop: runs coroutines; None: an event loop with its default limits.
    """

    def __init__(self, loop: EventLoop | None = None) -> None:
        self._threads = WorkerThreads()
        self._loop = loop or EventLoop()

    def lane(self, step: Step) -> CallLane:
        """Return a lane that runs up to `step.max_concurrency` calls at once, in the place that its mode names."""
        return CallLane(self._loop if step.mode is Mode.ASYNC else self._threads, step.max_concurrency)

    def close(self) -> None:
        """Give up what is under way and end the threads and the loop."""
        self._threads.close()
        self._loop.close()

    def __enter__(self) -> Executor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
