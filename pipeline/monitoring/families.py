"""The families of metrics that are read from SQL."""

from __future__ import annotations

from pipeline.telemetry.families import Family, MetricKind

#: What the help of each of them ends in: sums over replicas would be wrong.
FROM_SQL = "(from SQL: the same from every replica)"


def _gauge(name: str, help: str, *labels: str) -> Family:
    return Family(name, MetricKind.GAUGE, labels, f"{help} {FROM_SQL}")


ITEMS = _gauge("pipeline_items", "Items now: pending, queued, running or dead", "definition", "state")
BATCHES = _gauge("pipeline_batches", "Open batches: accepting, running or paused", "state")
DUE_AGE = _gauge(
    "pipeline_due_age_seconds",
    "How long the item that is due longest has waited: a fresh one since its batch was accepted, or a retry",
    "kind",
)
RELEASED_AGE = _gauge("pipeline_released_age_seconds", "Age of the oldest message that no worker has claimed", "stage")
OVERDUE = _gauge("pipeline_overdue", "Leases that are over and not taken back yet: items or deliveries", "kind")
SUSPECTS = _gauge("pipeline_suspects", "Items that took a worker with them and are not final")
SUBMITTED = Family(
    "pipeline_submitted_items_total",
    MetricKind.COUNTER,
    (),
    f"Items that were submitted, pruned ones as well {FROM_SQL}",
)
EVENTS = Family("pipeline_events_total", MetricKind.COUNTER, (), f"Results that left, pruned ones as well {FROM_SQL}")
DELIVERIES = _gauge(
    "pipeline_deliveries", "Deliveries: pending, sending, dead or paused; 100001 means more than 100000", "state"
)
DELIVERY_DUE_AGE = _gauge(
    "pipeline_delivery_due_age_seconds", "Age of the oldest due delivery at endpoints that may be called"
)
ENDPOINTS = _gauge(
    "pipeline_endpoints", "Endpoints that failed once or were configured: closed, open, half_open or disabled", "state"
)
DISPATCHER_UP = _gauge("pipeline_dispatcher_up", "1 while a process holds the lease on dispatching")
WORKERS = _gauge("pipeline_workers", "Worker processes that showed life within a lease")
ALERTS = _gauge("pipeline_alerts", "Alerts that fire", "severity")
DEADLINE_MISSED = _gauge("pipeline_batch_deadline_missed", "Open batches beyond their deadline")
BUILD_INFO = Family(
    "pipeline_build_info", MetricKind.INFO, ("version", "schema", "dialect"), f"What runs, on which database {FROM_SQL}"
)

#: About the reading itself, which differs between replicas.
COLLECT_SECONDS = Family("pipeline_collect_seconds", MetricKind.GAUGE, (), "How long the last reading of SQL took.")
COLLECT_SUCCESS = Family(
    "pipeline_collect_success",
    MetricKind.GAUGE,
    (),
    "1 if the last reading of SQL succeeded; otherwise nothing of it shows.",
)
COLLECT_AGE = Family("pipeline_collect_age_seconds", MetricKind.GAUGE, (), "Age of the reading of SQL that is shown.")

SQL_FAMILIES = (
    ITEMS, BATCHES, DUE_AGE, RELEASED_AGE, OVERDUE, SUSPECTS, SUBMITTED, EVENTS, DELIVERIES, DELIVERY_DUE_AGE,
    ENDPOINTS, DISPATCHER_UP, WORKERS, ALERTS, DEADLINE_MISSED, BUILD_INFO,
)  # fmt: skip
COLLECT_FAMILIES = (COLLECT_SECONDS, COLLECT_SUCCESS, COLLECT_AGE)
