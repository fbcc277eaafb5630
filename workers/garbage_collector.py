"""Tune Python's garbage collector: with its defaults, searching for cycles took a third of a sender's time."""

from __future__ import annotations

import gc

#: Allocations before the youngest generation is collected, and collections before the next one is. With Python's 700
#: and 10, objects of a request in flight are scanned several times. 10,000 uncollected objects take a few MiB.
YOUNGEST, OLDER = 10_000, 20


def calm() -> None:
    """Collect less often, and never scan the objects that exist now, such as modules.

    Affects the whole process, so call it only in processes that pipeline owns.
    """
    gc.freeze()
    gc.set_threshold(YOUNGEST, OLDER, OLDER)
