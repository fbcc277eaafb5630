"""Items that a worker died holding: how many may run at once, so that who did it is found without the others paying.

Most suspects are innocent, since a kill from outside makes suspects of all that ran. They run in company first; should
one of them kill its worker too, that company runs again one after the other, and nobody is given up for what a
neighbour did. Those of the fewest crashes go first: a process that has just started is the likeliest to be killed from
outside again (a crash loop, a deployment, a machine short of memory), and what it runs then must not always be the same
item.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

#: Suspects of one crash that may be under way at once, over all workers; those of more are alone.
COMPANY = 32


def admitted(waiting: Sequence[int], under_way: Mapping[int, int]) -> int:
    """Return how many suspects may be released now.

    Args:
        waiting: crashes of each that waits, fewest first.
        under_way: how many are released already, by their crashes.
    """
    once = sum(crashes == 1 for crashes in waiting)
    if any(crashes > 1 and number for crashes, number in under_way.items()):
        return 0
    busy = sum(under_way.values())
    if once:
        return max(min(once, COMPANY - busy), 0)
    return 1 if waiting and not busy else 0
