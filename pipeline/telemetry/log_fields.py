"""The table of log events: which fields each may have, and the type that a field has in every event.

A field that is not here is refused by tests and left out of lines for machines. Values are ids, numbers, codes and our
own texts: never payloads, labels, secrets or messages of users' exceptions.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto


class LogFieldType(Enum):
    """The JSON type of a field. Any field may be absent."""

    TEXT = auto()
    INTEGER = auto()
    NUMBER = auto()
    FLAG = auto()
    TEXTS = auto()
    INTEGERS = auto()


_TEXT, _INTEGER, _NUMBER, _FLAG, _TEXTS, _INTEGERS = LogFieldType

FIELDS: Mapping[str, LogFieldType] = {
    "actor": _TEXT,
    "alert": _TEXT,
    "attempt": _INTEGER,
    "batch": _TEXT,
    "batch_row": _INTEGER,
    "batches": _INTEGER,
    "calls": _INTEGER,
    "cancelled": _INTEGERS,
    "cause": _TEXT,
    "channel": _TEXT,
    "client": _TEXT,
    "code": _TEXT,
    "dead": _INTEGERS,
    "dead_processes": _TEXTS,
    "definition": _TEXT,
    "definitions": _INTEGER,
    "deliveries": _INTEGER,
    "delivery": _INTEGER,
    "detail": _TEXT,
    "duration_ms": _NUMBER,
    "end": _TEXT,
    "ended_at": _TEXT,
    "error": _TEXT,
    "error_kind": _TEXT,
    "error_type": _TEXT,
    "events": _TEXTS,
    "exit_code": _INTEGER,
    "export": _INTEGER,
    "failures": _INTEGER,
    "folder": _TEXT,
    "frames": _TEXTS,
    "given_up": _INTEGER,
    "hook": _TEXT,
    "intake": _TEXT,
    "is_complete": _FLAG,
    "item": _TEXT,
    "item_ids": _TEXTS,
    "items": _INTEGER,
    "kept": _INTEGER,
    "key": _TEXT,
    "key_id": _TEXT,
    "kind": _TEXT,
    "lease": _TEXT,
    "lines": _INTEGER,
    "messages": _INTEGER,
    "method": _TEXT,
    "milliseconds": _NUMBER,
    "notices": _INTEGER,
    "operation": _TEXT,
    "origin": _TEXT,
    "outcome": _TEXT,
    "parts": _INTEGER,
    "path": _TEXT,
    "reason": _TEXT,
    "request_id": _TEXT,
    "rows": _INTEGER,
    "rule": _TEXT,
    "seconds": _NUMBER,
    "sent_bytes": _INTEGER,
    "severity": _TEXT,
    "span_id": _TEXT,
    "stage": _TEXT,
    "start": _TEXT,
    "spans": _INTEGER,
    "started_at": _TEXT,
    "starts_again_in_seconds": _NUMBER,
    "state": _TEXT,
    "status": _INTEGER,
    "step": _TEXT,
    "steps": _TEXTS,
    "succeeded": _INTEGERS,
    "summary": _TEXT,
    "target": _TEXT,
    "task": _TEXT,
    "tenant": _TEXT,
    "timeout_seconds": _NUMBER,
    "trace_id": _TEXT,
    "unrecorded": _INTEGER,
    "use": _TEXT,
    "webhook_id": _TEXT,
    "worker": _TEXT,
}

#: Of an exception, see `Logger.exception`.
_EXCEPTION = ("error_type", "frames")
#: Of what `log_failure` logs.
_FAILURE = ("error", *_EXCEPTION)
_NOTICE = ("origin", "detail", "actor")

#: Fields by event, in the order in which they are documented.
EVENTS: Mapping[str, tuple[str, ...]] = {
    "alert_firing": ("alert", "rule", "severity", "batch", "summary"),
    "alert_not_repeated": ("channel", "code"),
    "alert_not_sent": ("channel", "alert", "code"),
    "alert_resolved": ("alert", "rule", "severity", "batch", "summary", "reason"),
    "alerts_not_readable": ("error",),
    "alerts_reread": ("path",),
    "answer_not_received": ("error",),
    "api_change": ("operation", "target", "outcome", "key_id", "tenant", "request_id"),
    "api_failed": ("request_id", "method", *_EXCEPTION),
    "api_request": (
        "method",
        "path",
        "operation",
        "status",
        "is_complete",
        "milliseconds",
        "sent_bytes",
        "key",
        "client",
        "request_id",
    ),
    "batch_sealed": ("intake", "batch"),
    "build_not_taken": ("batch_row", *_EXCEPTION),
    "call_abandoned": ("step", "item_ids", "timeout_seconds"),
    "callable_not_found_here": ("use", "folder"),
    "child_lost": ("stage", "items", "error"),
    "child_not_started": _FAILURE,
    "connections_not_accepted": ("reason",),
    "consumer_stuck": ("seconds",),
    "counters_drifted": ("batch_row", "succeeded", "dead", "cancelled"),
    "database_full": ("error",),
    "database_in_trouble": ("error", "attempt"),
    "definition_not_readable": ("definition", *_FAILURE),
    "definition_not_runnable": ("definition", "stage", "error"),
    "deliveries_expired": ("origin", "deliveries"),
    "delivery_attempt_failed": ("delivery", "origin", "error"),
    "delivery_dead": ("delivery", "deliveries", "webhook_id", "origin", "attempt", "code"),
    "delivery_unrecorded": ("delivery", "origin", "error"),
    "endpoint_auth_refused": _NOTICE,
    "endpoint_blocked": _NOTICE,
    "endpoint_disabled": _NOTICE,
    "endpoint_enabled": _NOTICE,
    "endpoint_failing": _NOTICE,
    "endpoint_locked": ("origin", "reason"),
    "endpoint_opened": _NOTICE,
    "endpoint_recovered": _NOTICE,
    "endpoint_unusable": _NOTICE,
    "expire_failed": ("origin", "error"),
    "export_attempt_broke": ("export", *_FAILURE),
    "export_completed": ("batch", "export", "target", "rows", "parts"),
    "export_failed": ("batch", "export", "target", "error"),
    "export_incomplete": ("batch", "export", "target", "error"),
    "export_lease_not_extended": _FAILURE,
    "export_put_off": ("batch", "export", "target", "error"),
    "fork_hook_failed": ("hook", *_EXCEPTION),
    "gathering_dropped": ("items",),
    "heartbeat_failed": ("code",),
    "hook_failed": ("hook", "events", *_EXCEPTION),
    "intake_failed": ("intake", "error"),
    "intake_gap": ("intake", "start", "end"),
    "intake_waits": ("intake", "error"),
    "item_attempt": (
        "batch",
        "item",
        "key",
        "definition",
        "stage",
        "attempt",
        "outcome",
        "state",
        "started_at",
        "ended_at",
        "duration_ms",
        "error_kind",
        "error_type",
        "cause",
        "worker",
        "trace_id",
        "span_id",
    ),
    "items_lost": ("stage", "items", *_FAILURE),
    "log_hub_failed": ("error",),
    "log_lines_dropped": ("lines",),
    "loop_blocked": ("steps",),
    "loop_interrupted": ("error",),
    "message_refused": ("task", "reason"),
    "metrics_file_not_written": ("path", "reason"),
    "metrics_not_answered": _EXCEPTION,
    "metrics_not_collected": _FAILURE,
    "microbatch_failed": ("stage", "items", *_FAILURE),
    "not_consuming": ("seconds",),
    "observer_failed": ("items", *_EXCEPTION),
    "overview_failed": ("error",),
    "process_died": ("kind", "exit_code", "starts_again_in_seconds"),
    "process_killed": ("kind", "seconds"),
    "pruned": ("batches", "items", "deliveries", "definitions", "notices", "kept"),
    "publish_failed": ("messages", "error"),
    "reader_cut_off": ("client",),
    "record_failed": ("items", *_FAILURE),
    "request_refused": ("code", "client"),
    "rescued": ("items", "given_up", "deliveries", "dead_processes"),
    "round_failed": _EXCEPTION,
    "scale_not_read": ("stage", *_FAILURE),
    "sender_database_error": ("error", "unrecorded"),
    "sender_idle": ("reason",),
    "sender_not_stopped": ("reason",),
    "service_unreachable": ("error",),
    "settle_failed": ("items", *_EXCEPTION),
    "spans_dropped": ("spans",),
    "step_waits": ("definition", "step", "failures", "calls"),
    "step_works": ("definition", "step"),
    "submission_lease_not_extended": ("lease", *_FAILURE),
    "traceparent_ignored": ("reason",),
    "worker_died": ("exit_code", "starts_again_in_seconds"),
}


def check_fields(event: str, fields: Mapping[str, object]) -> None:
    """Refuse an event, a field or a type that the table does not have.

    Raises:
        ValueError: one of these.
    """
    if event not in EVENTS:
        raise ValueError(f"the event {event} is not in pipeline/telemetry/log_fields.py; add it with its fields")
    for name, value in fields.items():
        if name not in EVENTS[event]:
            raise ValueError(f"the event {event} has no field {name} in pipeline/telemetry/log_fields.py; add it there")
        if value is not None and not _is_of(value, FIELDS[name]):
            raise ValueError(f"the field {name} of {event} is {value!r}, not {FIELDS[name].name.lower()}")


def _is_of(value: object, kind: LogFieldType) -> bool:
    match kind:
        case LogFieldType.TEXT:
            return isinstance(value, str)
        case LogFieldType.INTEGER:
            return isinstance(value, int) and not isinstance(value, bool)
        case LogFieldType.NUMBER:
            return isinstance(value, int | float) and not isinstance(value, bool)
        case LogFieldType.FLAG:
            return isinstance(value, bool)
        case LogFieldType.TEXTS:
            return isinstance(value, list) and all(isinstance(each, str) for each in value)
        case LogFieldType.INTEGERS:
            return isinstance(value, list) and all(isinstance(each, int) for each in value)
