"""The families of metrics that processes count; what is read from SQL is in `pipeline.monitoring.families`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

#: Upper bounds of the buckets of every duration, in seconds. They contain the durations that the documents promise.
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
#: Upper bounds of the buckets of a number of items.
ITEMS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)


class MetricKind(StrEnum):
    """The type of a family in the exposition."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Family:
    """Metrics with one name and the same labels.

    Args:
        labels: names of the labels; values are given in this order.
        buckets: upper bounds of a histogram's buckets, without the infinite one.
    """

    name: str
    kind: MetricKind
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = SECONDS


def _family(kind: MetricKind, name: str, help: str, *labels: str, buckets: tuple[float, ...] = SECONDS) -> Family:
    return Family(name, kind, labels, help, buckets)


ATTEMPTS = _family(
    MetricKind.COUNTER, "pipeline_attempts_total",
    "Attempts at stages: succeeded, retry, snoozed, dead, stale, lost or handed_back.",
    "definition", "stage", "outcome",
)  # fmt: skip
ERRORS = _family(
    MetricKind.COUNTER, "pipeline_errors_total", "Failed attempts at stages by type of the error.",
    "stage", "kind", "error_type",
)  # fmt: skip
ATTEMPT_SECONDS = _family(
    MetricKind.HISTOGRAM, "pipeline_attempt_seconds", "From claim to outcome of an item at a stage.",
    "stage", "outcome",
)  # fmt: skip
ITEM_SECONDS = _family(
    MetricKind.HISTOGRAM,
    "pipeline_item_seconds",
    "From submission to the end of an item: succeeded or dead.",
    "outcome",
)
QUEUE_SECONDS = _family(
    MetricKind.HISTOGRAM,
    "pipeline_queue_seconds",
    "From release to claim of an item's first attempt at a stage.",
    "stage",
)
MICROBATCH_ITEMS = _family(
    MetricKind.HISTOGRAM, "pipeline_microbatch_items", "Items that one call claimed.", "stage", buckets=ITEMS
)
STATEMENT_SECONDS = _family(
    MetricKind.HISTOGRAM, "pipeline_statement_seconds",
    "Transactions on the way of an item: claim, record, release, take, settle or sweep.", "statement",
)  # fmt: skip
RELEASED = _family(MetricKind.COUNTER, "pipeline_released_total", "Items that dispatch released.", "stage")
PUBLISHED = _family(
    MetricKind.COUNTER, "pipeline_published_total", "Messages to the broker: sent or failed.", "outcome"
)
DISPATCH_WINDOW = _family(
    MetricKind.GAUGE,
    "pipeline_dispatch_window",
    "Items that may be released at once; only from the process that dispatches.",
)
DISPATCH_IN_FLIGHT = _family(
    MetricKind.GAUGE, "pipeline_dispatch_in_flight",
    "Items released and not final; only from the process that dispatches.",
)  # fmt: skip
RESCUED = _family(
    MetricKind.COUNTER, "pipeline_rescued_total", "Taken back from workers that died: items, deliveries or given_up.",
    "kind",
)  # fmt: skip
RESTARTS = _family(
    MetricKind.COUNTER, "pipeline_processes_restarted_total", "Worker processes that died and were started again."
)
DELIVERY_ATTEMPTS = _family(
    MetricKind.COUNTER, "pipeline_delivery_attempts_total",
    "Requests of the sender: delivered, failed, throttled, dead, blocked or unrecorded.", "outcome", "status_class",
)  # fmt: skip
DELIVERY_SECONDS = _family(
    MetricKind.HISTOGRAM, "pipeline_delivery_seconds", "From the start of a request to the last byte of its answer."
)
DELIVERY_WAIT_SECONDS = _family(
    MetricKind.HISTOGRAM, "pipeline_delivery_wait_seconds", "From the event to the start of its first request."
)
LOG_LINES_DROPPED = _family(
    MetricKind.COUNTER, "pipeline_log_lines_dropped_total", "Lines about items that nobody read fast enough."
)
SPANS_DROPPED = _family(
    MetricKind.COUNTER, "pipeline_spans_dropped_total", "Spans that the receiver of traces did not take fast enough."
)
RESIDENT_BYTES = _family(
    MetricKind.GAUGE, "pipeline_process_resident_bytes",
    "Resident memory of the largest process: worker, child, sender, dispatcher, supervisor or server.", "role",
)  # fmt: skip
CPU_SECONDS = _family(
    MetricKind.COUNTER, "pipeline_process_cpu_seconds_total", "Processor time, summed up by role.", "role"
)

WRITTEN_AT = _family(
    MetricKind.GAUGE, "pipeline_written_at_seconds",
    "When this file was written, in seconds since 1970: a file says nothing of a process that is gone.",
)  # fmt: skip

#: Every family that processes count. A part that counts something new adds its family here.
PROCESS_FAMILIES = (
    ATTEMPTS, ERRORS, ATTEMPT_SECONDS, ITEM_SECONDS, QUEUE_SECONDS, MICROBATCH_ITEMS, STATEMENT_SECONDS, RELEASED,
    PUBLISHED, DISPATCH_WINDOW, DISPATCH_IN_FLIGHT, RESCUED, RESTARTS, DELIVERY_ATTEMPTS, DELIVERY_SECONDS,
    DELIVERY_WAIT_SECONDS, LOG_LINES_DROPPED, SPANS_DROPPED,
    RESIDENT_BYTES, CPU_SECONDS, WRITTEN_AT,
)  # fmt: skip
BY_NAME = {family.name: family for family in PROCESS_FAMILIES}
