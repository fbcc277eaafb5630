"""The rules of an installation: when each fires, how urgent that is, and what to do about it.

`docs/how-to/alerts.md` has the same table; a test compares them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.alerts.rules.episode import Severity

#: Looks in a row that a rule needs to fire and to be resolved, unless it says otherwise: one look may be a flicker.
LOOKS = 2


@dataclass(frozen=True, slots=True)
class AlertRule:
    """One rule.

    Args:
        about: what one alert is about: `batch`, `stage`, `endpoint`, `channel`, `host` or `installation`.
        fires_when: the condition, with the names of its settings.
        remedy: what to do, in one or two sentences.
        settings: thresholds with their defaults.
        looks: looks in a row that it needs to fire, and to be resolved.
    """

    name: str
    about: str
    severity: Severity
    fires_when: str
    remedy: str
    settings: Mapping[str, float] = field(default_factory=dict)
    looks: int = LOOKS


_RULES = (
    AlertRule(
        "batch_failing",
        "batch",
        Severity.WARNING,
        "at least `rate` of the finished items of an open batch are dead, and at least `min_items` are finished",
        "Run `pipeline dead causes BATCH`, mend the largest cause, then `pipeline dead replay BATCH`.",
        {"rate": 0.2, "min_items": 100},
    ),
    AlertRule(
        "batch_stuck",
        "batch",
        Severity.CRITICAL,
        "a running batch has had work to do for `after_seconds` and no item of it has finished",
        "Run `pipeline show BATCH` to see which stage its items wait for, then `pipeline doctor`.",
        {"after_seconds": 600},
    ),
    AlertRule(
        "batch_late",
        "batch",
        Severity.CRITICAL,
        "the deadline of a batch has passed and the batch is not complete",
        "Tell whoever waits for it; add workers, or pause other batches.",
        looks=1,
    ),
    AlertRule(
        "batch_at_risk",
        "batch",
        Severity.WARNING,
        "at the pace of its last 500 events a batch will miss its deadline",
        "Add workers for the stage that holds it up, or submit it with a larger weight next time.",
    ),
    AlertRule(
        "nothing_dispatches",
        "installation",
        Severity.CRITICAL,
        "items are due and for `after_seconds` no process has held the lease on dispatching",
        "Start a worker for the queue `control`; `pipeline doctor` says whether one is alive.",
        {"after_seconds": 60},
    ),
    AlertRule(
        "nothing_runs",
        "stage",
        Severity.CRITICAL,
        "released items wait for a stage whose queue no worker has served for `after_seconds`, or for two leases if "
        "that is longer",
        "Start workers for the queue that the alert names; if some run, look for one that hangs in their logs.",
        {"after_seconds": 60},
    ),
    AlertRule(
        "deliveries_late",
        "installation",
        Severity.ERROR,
        "a callback that may be sent has been due for `after_seconds`",
        "Start workers for the queue `deliver`, or raise the `rate` of the endpoint that the alert names.",
        {"after_seconds": 120},
    ),
    AlertRule(
        "endpoint_failing",
        "endpoint",
        Severity.WARNING,
        "a receiver has accepted nothing for an hour",
        "Run `pipeline endpoints test URL` and tell its operator; deliveries are retried for four days.",
        looks=1,
    ),
    AlertRule(
        "endpoint_disabled",
        "endpoint",
        Severity.ERROR,
        "a receiver answered 410, asked not to be called, or accepted nothing for five days",
        "Have it mended, then run `pipeline endpoints enable URL`: its deliveries are kept until then.",
        looks=1,
    ),
    AlertRule(
        "workers_dying",
        "installation",
        Severity.ERROR,
        "workers died while they held `items` items that are not finished, or an item was given up in the last ten "
        "minutes because its workers died",
        "Look for kills by the kernel (memory) in the host's log, and run `pipeline dead causes`.",
        {"items": 20},
    ),
    AlertRule(
        "database_unreachable",
        "host",
        Severity.CRITICAL,
        "a process for the queue `control` could not use the database for `after_seconds`",
        "Bring the database back. Nothing has to be repeated: work goes on where it stopped.",
        {"after_seconds": 60},
    ),
    AlertRule(
        "broker_unreachable",
        "host",
        Severity.CRITICAL,
        "a process for the queue `control` could not publish to the broker for `after_seconds`",
        "Bring the broker back. Messages that it lost are published again.",
        {"after_seconds": 60},
    ),
    AlertRule(
        "channel_failing",
        "channel",
        Severity.ERROR,
        "a channel has not accepted an alert after `attempts` attempts, or gave one up; other channels are told",
        "Run `pipeline alerts test CHANNEL`, and correct its table in the file that `PIPELINE_ALERTS` names.",
        {"attempts": 3},
        looks=1,
    ),
    AlertRule(
        "many_alerts",
        "installation",
        Severity.CRITICAL,
        "more than `alerts` alerts opened within a minute: channels receive the first ones, and this one instead of "
        "the others",
        "Run `pipeline alerts list`: many alerts at once mostly have one cause, such as a broker or a database.",
        {"alerts": 20},
    ),
)

#: Every rule by its name.
RULES: Mapping[str, AlertRule] = {rule.name: rule for rule in _RULES}
