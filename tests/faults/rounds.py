"""Rounds of the long form: batches, people who change their minds, and faults at random moments, all drawn by lot."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from random import Random

from tests.faults.catalog import faults_of
from tests.faults.fault import Fault
from tests.faults.ordeal import RECOVERY_SECONDS, Ordeal, Recovery
from tests.faults.site import Site
from tests.faults.trial import Trial

SIZES = (20, 100, 300, 1_000)
#: Seconds in which the faults of a round begin.
SPREAD_SECONDS = 8.0
#: One round in so many has an item that kills whoever runs it.
POISON_EVERY = 8


class Rounds:
    """One round after the other at one site."""

    def __init__(self, site: Site, random: Random, tell: Callable[[str], None]) -> None:
        self._site = site
        self._random = random
        self._tell = tell
        self._faults = faults_of(site.name)
        #: Of a round that is over, to be replayed in the next.
        self._ended: Trial | None = None
        self.number = 0
        self._counts: Counter[str] = Counter()
        self._struck: Counter[str] = Counter()
        self._recoveries: list[Recovery] = []

    def run_until(self, end: float) -> None:
        """Begin rounds until a `time.monotonic()`.

        Raises:
            Violated: an invariant does not hold.
        """
        while time.monotonic() < end:
            self.number += 1
            self._run()

    def summary(self) -> str:
        """Return what it came to."""
        slowest = max((each.items for each in self._recoveries), default=0.0)
        late = sum(each.items > RECOVERY_SECONDS for each in self._recoveries)
        counted = ", ".join(f"{number:,} {name}" for name, number in self._counts.items())
        struck = "".join(f"\n  {number:4} × {name}" for name, number in self._struck.most_common())
        return (
            f"{self.number} rounds, {counted}; items were final {slowest:.1f} s after the faults at the latest, "
            f"{late} times after more than {RECOVERY_SECONDS:g} s; {sum(self._struck.values())} faults:{struck}"
        )

    def _run(self) -> None:
        random = self._random
        ordeal = Ordeal(self._site, random, self._tell)
        has_poison = random.randrange(POISON_EVERY) == 0
        trials = [ordeal.submit(random.choice(SIZES)) for _ in range(random.randint(1, 3))]
        if has_poison:
            trials.append(ordeal.submit(20, poison=1))
        self._replay(ordeal)
        chosen = random.sample(self._faults, random.randint(1, 4))
        self._tell(
            f"round {self.number}: batches of {', '.join(str(trial.total) for trial in trials)}"
            f"{' with poison' if has_poison else ''}; {', '.join(fault.name for fault in chosen)}"
        )
        ordeal.wait_until_under_way(trials[0])
        paused = [trial for trial in trials if random.randrange(4) == 0 and trial.pause()]
        if random.randrange(3) == 0:
            trials[-1].cancel()
        ordeal.strike(*chosen, seconds=self._seconds, delay=lambda: random.uniform(0, SPREAD_SECONDS))
        for trial in paused:
            trial.resume()
        ordeal.settle()
        self._ended = next((trial for trial in trials if trial.may_be_replayed), None)
        self._count(ordeal)

    def _replay(self, ordeal: Ordeal) -> None:
        """Have the dead of an earlier batch tried again; they will die again."""
        if self._ended is not None and self._ended.replay():
            ordeal.trials.append(self._ended)

    def _seconds(self, fault: Fault) -> float:
        return self._random.uniform(*fault.seconds)

    def _count(self, ordeal: Ordeal) -> None:
        receiver = self._site.receiver
        self._counts["batches"] += len(ordeal.trials)
        self._counts["items"] += sum(trial.total for trial in ordeal.trials)
        self._counts["callbacks"] += len(receiver.bodies)
        self._counts["callbacks sent again"] += sum(len(bodies) - 1 for bodies in receiver.bodies.values())
        self._struck.update(ordeal.struck)
        self._recoveries.append(ordeal.recovery)
        kept = self._ended.batch_id if self._ended else ""
        # Whatever was judged needs not be remembered, but what will be judged again.
        for webhook_id in [each for each in receiver.bodies if not kept or kept not in each]:
            del receiver.bodies[webhook_id]
        took = ordeal.recovery
        has_killer = any(trial.killers for trial in ordeal.trials)
        starts = f"the killer after {took.killers:.1f} s and {self._site.max_crashes} starts, " if has_killer else ""
        self._tell(
            f"round {self.number} came right: items after {took.items:.1f} s, {starts}callbacks {took.callbacks:.1f} s"
        )
