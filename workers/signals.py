"""Signals that end a worker at once, as Celery's own handling does not.

Celery's would cancel tasks in the pool, which a pool of threads cannot, and wait for the pool inside the handler.
"""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any

from celery.platforms import EX_FAILURE
from celery.worker import state

from workers.engine.engine import Engine
from workers.engine.prefork_child import tell_to_stop


def take_over(engine: Engine, pool: Any) -> None:
    """Have SIGQUIT, and the second SIGINT, hand back at once what `engine` and children hold, also while stopping.

    Call it in the main thread, after Celery has set its own handlers.
    """
    first_interrupt = signal.getsignal(signal.SIGINT)

    def end_at_once(number: int, frame: FrameType | None) -> None:
        state.should_terminate = EX_FAILURE
        engine.hurry()
        # Where a stop is under way, they have been told once, and this is the second time.
        tell_to_stop(pool)

    def interrupt(number: int, frame: FrameType | None) -> None:
        if callable(first_interrupt):
            first_interrupt(number, frame)
        # Celery's handler has just named its own for the next one.
        signal.signal(signal.SIGINT, end_at_once)

    signal.signal(signal.SIGQUIT, end_at_once)
    signal.signal(signal.SIGINT, interrupt)
