"""Items that a worker died holding: run apart from the others, in few and then alone.

Should one of them kill this process too, the next time it is in smaller company, and the last time in none: nobody is
given up for what a neighbour did. Most suspects are innocent, since a kill from outside makes suspects of all that ran;
one by one from the start, they would take as long as all of them together.

Those of the fewest crashes go first. A process that has just started is the likeliest to be killed from outside again
(a crash loop, a deployment, a machine short of memory), and what it runs then must not always be the same item.
"""

from __future__ import annotations

import queue
import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.domain.item import Stage
from pipeline.log import get_logger
from pipeline.services.record import Settled
from pipeline.services.recorder import Settle
from pipeline.storage.releases import Ref

log = get_logger(__name__)

#: Suspects of one crash that are run together; those of more are run alone.
COMPANY = 32

#: Claims suspects of a stage and runs them; every one of them is settled once.
Run = Callable[[Stage, Sequence[Ref], Settle], None]


@dataclass(frozen=True, slots=True, order=True)
class _Group:
    crashes: int
    turn: float
    stage: Stage = field(compare=False)
    refs: Sequence[Ref] = field(compare=False)
    settle: Settle = field(compare=False)


class Suspects:
    """Runs one group of suspects after the other, on a thread of its own: nobody else waits for them."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._groups: queue.PriorityQueue[_Group] = queue.PriorityQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def put(self, stage: Stage, refs: Sequence[Ref], crashes: Mapping[int, int], settle: Settle) -> None:
        """Have suspects run; `crashes` says by id how many workers died holding each."""
        for group in groups(refs, crashes):
            # By lot among equals: put in order, the same item would be the first of every new process.
            self._groups.put(_Group(crashes[group[0].id], random.random(), stage, group, settle))
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="pipeline-suspects", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        while True:
            group = self._groups.get()
            try:
                self._run_to_the_end(group)
            except Exception:
                # Their leases run out; the thread goes on with the others.
                log.exception("suspects_failed", items=len(group.refs))

    def _run_to_the_end(self, group: _Group) -> None:
        left = {ref.id for ref in group.refs}
        ended = threading.Event()

        def settle(settled: Mapping[int, Settled]) -> None:
            try:
                group.settle(settled)
            finally:
                left.difference_update(settled)
                if not left:
                    ended.set()

        self._run(group.stage, group.refs, settle)
        ended.wait()


def groups(refs: Sequence[Ref], crashes: Mapping[int, int]) -> Iterator[Sequence[Ref]]:
    """Yield who may run together: the company of one crash in groups, the others each alone."""
    once = [ref for ref in refs if crashes[ref.id] == 1]
    for start in range(0, len(once), COMPANY):
        yield once[start : start + COMPANY]
    for ref in refs:
        if crashes[ref.id] > 1:
            yield [ref]
