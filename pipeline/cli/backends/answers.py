"""Answers of a server as `--json` prints what the database has: the same names, in the same order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.cli.backends.rows import timed_attempt
from pipeline.client.remote.answers import with_times
from pipeline.client.remote.remote_endpoint import endpoint_values
from pipeline.domain.redaction import redact_url

Json = dict[str, Any]

_BATCH = (
    "batch_id", "definition", "state", "total", "waiting", "in_flight", "running", "succeeded", "dead", "cancelled",
    "created_at", "completed_at", "items_per_second", "seconds_left", "stands_still_since",
)  # fmt: skip
_ITEM = (
    "batch_id", "item_id", "key", "state", "stage", "attempt", "attempts", "crashes", "label", "confidence",
    "created_at", "due_at", "queued_at", "started_at", "classified_at", "finished_at", "lease_until", "worker",
    "attempts_by_stage", "classification", "enrichment", "error", "payload", "failed_attempts", "deliveries",
)  # fmt: skip
_DEAD = (
    "batch_id", "item_id", "key", "attempt", "attempts", "kind", "type", "message", "stage", "answer", "finished_at",
)  # fmt: skip
_CAUSE = (
    "cause", "count", "definition", "stage", "kind", "type", "message", "first_at", "last_at", "example",
)  # fmt: skip
_DEFINITION = ("name", "is_file", "tenant", "version", "updated_at", "definition")
_DELIVERY = (
    "id", "type", "state", "attempt", "due_at", "last_status", "last_error", "created_at", "finished_at", "url",
    "endpoint", "webhook_id", "batch_id", "item_id", "key", "bundle", "endpoint_disabled", "waits",
)  # fmt: skip
_ATTEMPT = (
    "stage", "number", "trigger", "outcome", "status", "error_type", "error_message", "started_at", "ended_at",
    "worker", "answer",
)  # fmt: skip
_ENDPOINT = (
    "origin", "state", "since", "until", "reason", "settings", "secrets", "headers", "locked", "backlog", "delivered",
    "oldest_due_at", "not_before", "failing_since", "last_failure_at", "failing_events", "last_success_at",
    "open_until", "trips", "consecutive_failures", "notices",
)  # fmt: skip
_PING = ("url", "webhook_id", "status", "duration_seconds", "error", "message", "answer")


def batch_json(found: Json) -> Json:
    """Return a batch of a list."""
    return _ordered(with_times(found, "created_at", "completed_at", "stands_still_since"), _BATCH)


def status_json(found: Json) -> Json:
    """Return how a batch is doing."""
    counted = {name: found[name] for name in ("labels", "callbacks") if found[name] is not None}
    exports = [with_times(each, "due_at", "created_at", "finished_at") for each in found["exports"]]
    # Only submissions to a database can be resumed.
    history = [with_times(each, "at") for each in found["history"]]
    also = {"unserved": found["unserved"], "errors": found["errors"], "history": history, "exports": exports}
    also |= {"waiting_steps": [with_times(each, "since", "probe_at") for each in found["waiting_steps"]]}
    also |= {"paused_by": found["paused_by"], "guards": [guard_json(each) for each in found["guards"]]}
    return {**batch_json(found), **also, "submission": None, **counted}


def item_json(found: Json) -> Json:
    """Return an item with its failed attempts and its callbacks."""
    times = [name for name in _ITEM if name.endswith("_at")]
    changed = {
        "failed_attempts": [with_times(each, "started_at", "ended_at") for each in found["failed_attempts"]],
        "deliveries": [with_times(each, "due_at", "created_at", "finished_at") for each in found["deliveries"]],
    }
    return _ordered(with_times(found, *times, "lease_until") | changed, _ITEM)


def dead_json(found: Json) -> Json:
    """Return a dead item of a list."""
    return _ordered(with_times(found, "finished_at"), _DEAD)


def guard_json(found: Json) -> Json:
    """Return a guard of a batch."""
    return with_times(found, "since", "fired_at", "updated_at")


def cause_json(found: Json) -> Json:
    """Return what dead items died of."""
    return _ordered(with_times(found, "first_at", "last_at"), _CAUSE)


def definition_json(found: Json) -> Json:
    """Return what a name means."""
    return _ordered(with_times(found, "updated_at"), _DEFINITION)


def delivery_json(found: Json) -> Json:
    """Return a delivery."""
    waits = found["waits"]
    values = with_times(found, "due_at", "created_at", "finished_at") | {
        "attempt": found["attempts"],
        "waits": None if waits is None else with_times(waits, "since", "until"),
    }
    return _ordered(values, _DELIVERY)


def delivery_with_attempts_json(found: Json) -> Json:
    """Return a delivery with its attempts."""
    return {**delivery_json(found), "attempts": [_attempt_json(each) for each in found["history"]]}


def endpoint_json(found: Json) -> Json:
    """Return an endpoint."""
    values = endpoint_values(found)
    names = ("type", "detail", "actor")
    notices = [{"created_at": each["at"], **{name: each[name] for name in names}} for each in values["notices"]]
    return _ordered(values | {"notices": notices}, _ENDPOINT)


def ping_json(url: str, found: Json) -> Json:
    """Return what a ping came to."""
    seconds = round(found["duration_seconds"], 3)
    return _ordered(found | {"url": redact_url(url), "duration_seconds": seconds}, _PING)


def _attempt_json(found: Json) -> Json:
    values = with_times(found, "started_at", "ended_at")
    values |= {"error_type": found["error"], "error_message": found["message"]}
    return timed_attempt(_ordered(values, _ATTEMPT))


def _ordered(found: Mapping[str, Any], names: Sequence[str]) -> Json:
    return {name: found[name] for name in names if name in found}
