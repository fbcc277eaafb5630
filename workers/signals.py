"""Handle the signals that stop a worker at once.

Celery's handlers would cancel tasks in the pool, which a thread pool cannot do, and wait for the pool in the handler.
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
    """Make SIGQUIT, or a second SIGINT, return at once what the engine and its children hold.

    Works while stopping, too. Call it in the main thread, after Celery has installed its handlers.
    """
    first_interrupt = signal.getsignal(signal.SIGINT)

    def end_at_once(number: int, frame: FrameType | None) -> None:
        state.should_terminate = EX_FAILURE
        engine.hurry()
        # If a stop is under way, the children have been asked once; asking again makes them stop at once.
        tell_to_stop(pool)

    def interrupt(number: int, frame: FrameType | None) -> None:
        if callable(first_interrupt):
            first_interrupt(number, frame)
        # Celery's handler has just installed its own handler for the next SIGINT.
        signal.signal(signal.SIGINT, end_at_once)

    signal.signal(signal.SIGQUIT, end_at_once)
    signal.signal(signal.SIGINT, interrupt)
