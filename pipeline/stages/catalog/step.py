"""A classifier or an enricher, ready to run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Mode(StrEnum):
    """Where the callable of a step runs."""

    #: In the calling thread, many items at once: for the fast, CPU-bound built-ins.
    INLINE = "inline"
    #: In a separate thread, because the user's function may block or hang.
    THREAD = "thread"
    #: On the event loop of the process.
    ASYNC = "async"


@dataclass(frozen=True, slots=True)
class Step:
    """A callable and how to call it.

    Args:
        name: key of the answer under `enrichment`; for a classifier, its name in messages.
        call: takes a `WorkItem` and returns its answer. If `is_batched`, it takes a list of them and returns their
            answers in the same order; an exception object among these fails only its item. In mode `ASYNC` it returns
            an awaitable of the same.
        timeout_seconds: time limit of each call; a list call that exceeds it is repeated item by item.
        max_items: maximum number of items per call.
        max_concurrency: maximum number of concurrent calls in a process; ignored in mode `INLINE`.
    """

    name: str
    call: Callable[[Any], Any]
    mode: Mode
    is_batched: bool = False
    timeout_seconds: float = 30.0
    max_items: int = 256
    max_concurrency: int = 64
