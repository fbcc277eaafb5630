"""What opens and what is resolved after a look at the installation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.alerts.rules.episode import Episode


@dataclass(frozen=True, slots=True)
class AlertChanges:
    """What changes after a look.

    Args:
        opened: alerts that are to fire.
        resolved: keys of the alerts that are over.
    """

    opened: Sequence[Episode] = ()
    resolved: Sequence[str] = ()


class Looks:
    """Counts in how many looks in a row each condition was met, or was not.

    A condition that changes with every look changes nothing. The counts are in memory: after another process has taken
    over, alerts open and end one look later.

    Args:
        needed: returns how many looks in a row a rule needs, by its name.
    """

    def __init__(self, needed: Callable[[str], int]) -> None:
        self._needed = needed
        self._met: Counter[str] = Counter()
        self._missed: Counter[str] = Counter()

    def look(self, found: Mapping[str, Episode], firing: Mapping[str, str]) -> AlertChanges:
        """Return what changes after a look.

        Args:
            found: the conditions that are met, by key.
            firing: the names of the rules whose alerts fire, by key.
        """
        self._met = Counter({key: self._met[key] + 1 for key in found if key not in firing})
        self._missed = Counter({key: self._missed[key] + 1 for key in firing if key not in found})
        return AlertChanges(
            [found[key] for key, looks in self._met.items() if looks >= self._needed(found[key].name)],
            [key for key, looks in self._missed.items() if looks >= self._needed(firing[key])],
        )
