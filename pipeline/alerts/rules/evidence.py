"""The verdict of a guard: a sequential test whether failures are more frequent than is tolerated.

It compares two assumptions with each observation: that failures come at the tolerated rate, or twice as often (CUSUM,
Page 1954). There is neither a window nor a least number of observations to choose, and the score can be recomputed
from the numbers of an alert.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import NamedTuple

#: The score above which failures are more frequent than is tolerated. At 5 % it takes 11 failures in a row, or 15 of 73
#: items. In 50,000 items at 4 %, one of 200 batches gets there by chance.
THRESHOLD = 7.0


class GuardEvidence(NamedTuple):
    """What speaks for failures being too frequent.

    Args:
        score: how much more likely what was observed is if failures come twice as often as tolerated, as a logarithm.
        observed: number of observations since `since`.
        failed: how many of them were failures.
        since: when the first of them was made; None: there is none.
    """

    score: float = 0.0
    observed: int = 0
    failed: int = 0
    since: datetime | None = None

    @property
    def is_exceeded(self) -> bool:
        """Whether failures are more frequent than is tolerated."""
        return self.score > THRESHOLD

    @property
    def share(self) -> float:
        """The share of failures among the observations."""
        return self.failed / self.observed if self.observed else 0.0


def observe(evidence: GuardEvidence, rate: float, *, observed: int, failed: int, now: datetime) -> GuardEvidence:
    """Return the evidence after a group of observations.

    Args:
        rate: the tolerated share of failures.
        observed: number of observations, with those that failed.
    """
    worse = min(2 * rate, (1 + rate) / 2)
    score = evidence.score
    score += failed * math.log(worse / rate) + (observed - failed) * math.log((1 - worse) / (1 - rate))
    if score <= 0:
        return GuardEvidence(since=now)
    since = evidence.since if evidence.observed or evidence.since else now
    return GuardEvidence(score, evidence.observed + observed, evidence.failed + failed, since or now)


def evidence_text(evidence: GuardEvidence, rate: float, noun: str) -> str:
    """Return evidence as one sentence for people.

    Args:
        noun: what was observed, such as `items`.
    """
    begin = "" if evidence.since is None else f"since {evidence.since:%H:%M:%S} "
    return (
        f"{begin}{evidence.failed:,} of {evidence.observed:,} {noun} failed ({100 * evidence.share:.3g} %); "
        f"{100 * rate:g} % are tolerated"
    )
