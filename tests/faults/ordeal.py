"""An ordeal: batches are submitted to a site, faults strike, and everything must come right by itself."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

from pipeline.database.retry import TRANSIENT_ERRORS
from pipeline.delivery.rules.delivery import OVERLOAD_PAUSE
from pipeline.errors import Conflict
from tests.faults.fault import Fault, last
from tests.faults.site import Site
from tests.faults.trial import Trial, begin
from tests.faults.verdict import violations
from tests.support.servers.worker import LEASE_SECONDS

#: What is lost comes back in this time after a fault has ended.
RECOVERY_SECONDS = LEASE_SECONDS + 10
#: By how much longer it may take here, since the machine does other things.
PATIENCE = 5
#: How long a callback may wait for its next attempt: what a sender had sent when it was made to hang has timed out when
#: it goes on, which looks like a receiver that is overloaded.
CALLBACK_SECONDS = 2 * OVERLOAD_PAUSE.total_seconds()
#: How often work comes while a fault lasts.
SUBMIT_SECONDS = 1.0


class Violated(AssertionError):
    """An invariant does not hold; the message says which, with the rows that say so."""


@dataclass(frozen=True)
class Recovery:
    """Seconds from the end of the last fault until what was owed was done.

    Args:
        items: until every item was final but those that kill whoever runs them.
        killers: until these were, too. Each takes as many starts of a worker, one after the other, as a site allows.
        callbacks: until every callback was made.
    """

    items: float
    killers: float
    callbacks: float


@dataclass
class Ordeal:
    """What happens at one site.

    Args:
        tell: told of each fault as it strikes.
    """

    site: Site
    random: Random
    tell: Callable[[str], None] = print
    trials: list[Trial] = field(default_factory=list)
    struck: list[str] = field(default_factory=list)
    locks: dict[str, threading.Lock] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    recovery: Recovery = Recovery(0.0, 0.0, 0.0)

    def submit(self, number: int, *, poison: int = 0) -> Trial:
        """Submit a batch, again and again while it is not accepted, as its caller would.

        It is not while the database is in trouble; nor where that kept the submitter waiting for so long that others
        took it for dead, who then ask for this.
        """
        key = uuid.uuid4().hex
        while True:
            with suppress(*TRANSIENT_ERRORS, Conflict):
                trial = begin(self.site, key, number, poison=poison)
                self.trials.append(trial)
                return trial
            last(0.2)

    def wait_until_under_way(self, trial: Trial) -> None:
        """Wait until a fault has something to strike."""
        if not self._wait(trial.is_under_way, until=time.monotonic() + RECOVERY_SECONDS * PATIENCE):
            raise self._violated(f"batch {trial.batch_id} does not get under way", *violations(trial))

    def strike(self, *faults: Fault, seconds: Callable[[Fault], float], delay: Callable[[], float]) -> None:
        """Have faults strike, side by side where they strike different things, while work keeps coming."""
        # All lots are drawn before anything begins: threads would draw them in another order each time.
        plans = [(fault, Random(self.random.random()), seconds(fault), delay()) for fault in faults]
        threads = [threading.Thread(target=self._strike, args=plan, daemon=True) for plan in plans]
        for thread in threads:
            thread.start()
        while alive := [thread for thread in threads if thread.is_alive()]:
            self.submit(20).open_gate()
            alive[0].join(SUBMIT_SECONDS)
        if self.errors:
            raise self._violated(*self.errors)

    def settle(self) -> None:
        """Let held items go, wait until everything has come right, and pass the verdict.

        Raises:
            Violated: it has not, or not right.
        """
        began = time.monotonic()
        for trial in self.trials:
            trial.open_gate()
        for trial in self.trials:
            self._comes(trial.are_others_final, began)
        items = time.monotonic() - began
        unfinished = [trial for trial in self.trials if not self._comes(trial.is_complete, began)]
        killers = time.monotonic() - began
        callbacks = began + CALLBACK_SECONDS
        owing = [trial for trial in self.trials if not self._comes(trial.is_settled, callbacks)]
        limit = f"within {RECOVERY_SECONDS:g} s, nor much later"
        broken = [f"batch {trial.batch_id} is not complete {limit}" for trial in unfinished]
        broken += [f"callbacks of batch {trial.batch_id} are not made {limit}" for trial in owing]
        broken += [each for trial in self.trials for each in violations(trial)]
        if broken:
            raise self._violated(*broken)
        self.recovery = Recovery(items, killers, time.monotonic() - began)

    def _violated(self, *broken: str) -> Violated:
        struck = "".join(f"\n  {fault}" for fault in self.struck)
        return Violated("\n".join([*broken, f"what struck:{struck}", f"logs: {self.site.keep_logs()}"]))

    def _comes(self, condition: Callable[[], bool], began: float) -> bool:
        """Wait until something is so, patiently; a poison item takes its time for each of its crashes."""
        crashes = self.site.max_crashes if any(each.killers for each in self.trials) else 1
        return self._wait(condition, until=began + RECOVERY_SECONDS * max(PATIENCE, crashes))

    def _strike(self, fault: Fault, random: Random, seconds: float, delay: float) -> None:
        last(delay)
        with self.locks.setdefault(fault.target, threading.Lock()):
            self.tell(f"{fault.name}, for {seconds:.1f} s")
            self.struck.append(fault.name)
            try:
                fault.strike(self.site, random, seconds)
            except BaseException as error:
                self.errors.append(f"{fault.name}: {type(error).__name__}: {error}")

    def _wait(self, condition: Callable[[], bool], *, until: float) -> bool:
        """Wait until something is so, and say whether it is; a database in trouble is asked again."""
        while True:
            with suppress(*TRANSIENT_ERRORS):
                if condition():
                    return True
            if time.monotonic() > until:
                return False
            last(0.1)
