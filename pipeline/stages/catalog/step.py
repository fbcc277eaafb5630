"""One classifier or one enricher, ready to run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Mode(StrEnum):
    """Where a step's callable runs."""

    #: In the calling thread, many items at once: quick work on the CPU that we wrote ourselves.
    INLINE = "inline"
    #: In a thread of its own, since a caller's function may block or hang.
    THREAD = "thread"
    #: On the process's event loop.
    ASYNC = "async"


@dataclass(frozen=True, slots=True)
class Step:
    """A callable and how to call it.

    Args:
        name: key of its answer under `enrichment`; of a classifier, for messages.
        call: takes one `WorkItem`, or where `is_batched` a list of them; returns the answer, or where `is_batched` the
            answers in the same order, among which an exception object fails its item. In mode `ASYNC` it returns an
            awaitable of that.
        timeout_seconds: bounds each call; a list that takes longer is called again item by item.
        max_items: at most so many items in one call.
        max_concurrency: at most so many calls under way at once in a process; meaningless in mode `INLINE`.
    """

    name: str
    call: Callable[[Any], Any]
    mode: Mode
    is_batched: bool = False
    timeout_seconds: float = 30.0
    max_items: int = 256
    max_concurrency: int = 64
