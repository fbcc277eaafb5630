"""Suspects are items that a worker died holding: how many of them may run at once.

The rule finds the item that kills workers without giving up innocent ones. Most suspects are innocent, because a kill
from outside makes suspects of everything that was running. Suspects first run together; if their worker dies too, each
of them runs alone after that, so none is given up because of another. Suspects with the fewest crashes go first:
a process that has just started is the most likely to be killed from outside again (a crash loop, a deployment, a
machine short of memory), and it must not always be the same item that runs then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

#: Suspects of one crash that may run at once, over all workers. Suspects of several crashes run alone.
MAX_TOGETHER = 32


def admit_suspects(waiting: Sequence[int], under_way: Mapping[int, int]) -> int:
    """Return how many suspects may be released now.

    Args:
        waiting: number of crashes of each waiting suspect, fewest first.
        under_way: number of released suspects, by their number of crashes.
    """
    once = sum(crashes == 1 for crashes in waiting)
    if any(crashes > 1 and number for crashes, number in under_way.items()):
        return 0
    busy = sum(under_way.values())
    if once:
        return max(min(once, MAX_TOGETHER - busy), 0)
    return 1 if waiting and not busy else 0
