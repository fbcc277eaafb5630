"""The requests of one micro-batch: run together, settled each on its own."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from celery.worker.request import Request

from pipeline.domain.item import Stage
from pipeline.execution.record import Settled, Settlement
from pipeline.log import get_logger
from workers.engine.engine import Engine
from workers.receive.chain_next import Nudge, run
from workers.receive.receive import finish

log = get_logger(__name__)

_FAILED = (Settlement.DEAD, Settlement.LOST)
_AGAIN = (Settlement.PUT_OFF, Settlement.HANDED_BACK)


class MicroBatch:
    """Celery's requests of one micro-batch, until the last of them is settled."""

    def __init__(
        self,
        stage: Stage,
        requests: Sequence[Request],
        engine: Engine,
        *,
        is_connected: Callable[[], bool],
        call_soon: Callable[..., object] | None,
    ) -> None:
        """Args:
        is_connected: whether the connection that brought the messages still takes acknowledgements.
        call_soon: has something run by the thread to which that connection belongs; None: any thread may use it.
        """
        self._stage = stage
        self._engine = engine
        self._is_connected = is_connected
        self._call_soon = call_soon or (lambda function, *arguments: function(*arguments))
        self._began: tuple[int, float] | None = None
        self._of_item: dict[int, list[Request]] = {}
        for request in requests:
            self._of_item.setdefault(request.args[0], []).append(request)

    @property
    def nudges(self) -> list[Nudge]:
        """What the messages say: plain values, for another process as well."""
        return [_nudge(request) for requests in self._of_item.values() for request in requests]

    def run(self) -> None:
        """Run the micro-batch in this process; what is slow is settled later, from other threads."""
        self._began = os.getpid(), time.monotonic()
        self._call_soon(self._begin)
        try:
            run(self._engine.processing, self._stage, self.nudges, self.settle)
        except Exception as error:
            # Nothing is lost: what was claimed comes back when its lease runs out, and so does what was not.
            log.exception("microbatch_failed", stage=self._stage.value, items=len(self._of_item))
            self._call_soon(self._fail_rest, type(error).__name__)

    def accepted(self, pid: int, at: float) -> None:
        """Hear that a process has begun with them, at a `time.monotonic()`."""
        self._began = pid, at
        self._begin()

    def _begin(self) -> None:
        # The event loop runs what it is given in any order: whichever comes first, begin or end, does this.
        began, self._began = self._began, None
        if began is None:
            return
        for requests in self._of_item.values():
            for request in requests:
                request.on_accepted(*began)

    def settle(self, settled: Mapping[int, Settled]) -> None:
        """End the messages of these items, once; from any thread."""
        # A broker that hangs must not hold up whoever records results.
        self._call_soon(self._end_all, settled)
        self._engine.settled(list(settled.values()))

    def _end_all(self, settled: Mapping[int, Settled]) -> None:
        self._begin()
        now = time.time()
        for item, how in settled.items():
            for request in self._of_item.pop(item, ()):
                self._end(request, how, now)

    def lost(self, failure: Any) -> None:
        """Hear that the child that ran them is gone: SQL knows what it held, and the sweeps take it back."""
        log.warning("child_lost", stage=self._stage.value, items=len(self._of_item), error=_error_type(failure))
        self._fail_rest(_error_type(failure))
        self._engine.look_for_lost()

    def _fail_rest(self, error: str) -> None:
        self._begin()
        for item in list(self._of_item):
            for request in self._of_item.pop(item, ()):
                self._finish(request, "task-failed", exception=error, traceback="")

    def _end(self, request: Request, how: Settled, now: float) -> None:
        reason = how.error or how.end.value
        # The task's id leads to everything else that is known; messages of exceptions may quote payloads.
        hint = f"pipeline show {request.id}"
        if how.end in _AGAIN:
            self._finish(request, "task-retried", exception=reason, traceback=hint)
        elif how.end in _FAILED:
            self._finish(request, "task-failed", exception=reason, traceback=hint)
        else:
            runtime = now - (request.time_start or now)
            self._finish(request, "task-succeeded", result=repr(how.end.value), runtime=runtime)

    def _finish(self, request: Request, event: str, **fields: Any) -> None:
        finish(request, event, is_connected=self._is_connected(), **fields)


def _nudge(request: Request) -> Nudge:
    item, epoch = request.args
    chain = (request._payload[2] or {}).get("chain") or None
    return Nudge(item, epoch, request.id, request.root_id, chain)


def _error_type(failure: Any) -> str:
    # Billiard hands over its record of an exception, which may hold it in a parcel with its traceback.
    exception = getattr(failure, "exception", failure)
    return type(getattr(exception, "exc", exception)).__name__
