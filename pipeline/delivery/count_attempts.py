"""Count the requests of the sender, a whole group at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pipeline.delivery.rules.delivery import BLOCKED, AttemptOutcome, Decision, Sent
from pipeline.telemetry.families import DELIVERY_ATTEMPTS, DELIVERY_SECONDS, DELIVERY_WAIT_SECONDS
from pipeline.telemetry.meter import Meter

_OUTCOME = {
    AttemptOutcome.SUCCEEDED: "delivered",
    AttemptOutcome.RETRY: "failed",
    AttemptOutcome.SNOOZED: "throttled",
    AttemptOutcome.DEAD: "dead",
}


def count_recorded(meter: Meter, sent: Sequence[Sent], decisions: Sequence[Decision]) -> None:
    """Count attempts that are recorded."""
    if not meter.is_on:
        return
    found = Counter(map(_labels, sent, decisions))
    for labels, number in found.items():
        meter.add(DELIVERY_ATTEMPTS, labels, number)
    meter.observe(DELIVERY_SECONDS, (), [(each.ended_at - each.started_at).total_seconds() for each in sent])
    first = [each for each in sent if each.owed.attempt == 1 and each.owed.trigger is None]
    waited = [(each.started_at - each.owed.created_at).total_seconds() for each in first]
    meter.observe(DELIVERY_WAIT_SECONDS, (), waited)


def count_unrecorded(meter: Meter, sent: Sent) -> None:
    """Count an attempt that cannot be written."""
    meter.add(DELIVERY_ATTEMPTS, ("unrecorded", _status_class(sent)))


def _labels(sent: Sent, decision: Decision) -> tuple[str, str]:
    outcome = _OUTCOME[decision.outcome]
    if outcome == "failed" and sent.answer.error == BLOCKED:
        outcome = "blocked"
    return outcome, _status_class(sent)


def _status_class(sent: Sent) -> str:
    status = sent.answer.status
    return "none" if status is None else f"{status // 100}xx"
