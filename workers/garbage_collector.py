"""The garbage collector of a worker: at Python's own pace, looking for cycles took a third of a sender's time."""

from __future__ import annotations

import gc

#: Objects made before the youngest are looked at, and rounds of that before the older ones are. Python's 700 and 10
#: look several times at what belongs to each request under way; garbage that waits for 10,000 takes a few MiB.
YOUNGEST, OLDER = 10_000, 20


def calm() -> None:
    """Look for cycles less often, and never among what is there by now: modules, and what they made.

    It holds for the whole process, hence only for one that is our own.
    """
    gc.freeze()
    gc.set_threshold(YOUNGEST, OLDER, OLDER)
