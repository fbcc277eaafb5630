"""Rows of the database as `--json` prints them. Secrets and header values are never shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from pipeline.batches.named_definitions import NamedDefinition
from pipeline.batches.progress import Details
from pipeline.batches.replays.dead_items import CauseGroup, ReplayCount
from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.database.tables import POSITIONS_PER_BATCH
from pipeline.delivery import deliveries
from pipeline.delivery.deliveries import Shown
from pipeline.delivery.delivery_search import waits_for
from pipeline.delivery.endpoints import KnownEndpoint
from pipeline.delivery.rules.delivery import Sent
from pipeline.delivery.rules.endpoint_state import Condition
from pipeline.delivery.rules.failure_text import consequence, explain
from pipeline.domain.ids import item_id, webhook_id
from pipeline.domain.redaction import redact_url
from pipeline.errors import Conflict

_PLAIN = ("key", "state", "stage", "attempt", "attempts", "crashes", "label", "confidence")
_TIMES = ("created_at", "due_at", "queued_at", "started_at", "classified_at", "finished_at", "lease_until")
_ERROR = ("kind", "type", "message", "stage")
_ATTEMPT = (
    "stage", "number", "trigger", "outcome", "status", "error_type", "error_message", "started_at", "ended_at",
    "worker", "answer",
)  # fmt: skip
_DELIVERY = ("id", "type", "state", "attempt", "due_at", "last_status", "last_error", "created_at", "finished_at")
_HEALTH = ("not_before", "failing_since", "last_failure_at", "failing_events")
_SECRET = ("public_key", "expires_at", "fingerprint")
_NOTICE = ("created_at", "type", "detail", "actor")
_BREAKER = ("open_until", "trips", "consecutive_failures")


def item_json(context: Context, details: Details, *, with_payload: bool) -> dict[str, Any]:
    """Return an item, its failed attempts and its deliveries."""
    row, batch = details.item, details.batch
    owed: Sequence[Row] = deliveries.of_item(context, batch["id"], row["id"])
    return {
        "batch_id": batch["public_id"],
        "item_id": item_id(batch["public_id"], row["position"]),
        **{name: row[name] for name in (*_PLAIN, *_TIMES, "worker")},
        "attempts_by_stage": details.attempts_by_stage,
        **{name: _parse(row[name]) for name in ("classification", "enrichment")},
        "error": {name: row[f"error_{name}"] for name in _ERROR} if row["error_kind"] else None,
        **({"payload": _parse(row["payload"])} if with_payload else {}),
        "failed_attempts": [_attempt_json(attempt) for attempt in details.attempts],
        "deliveries": [_delivery_row_json(delivery, batch["public_id"]) for delivery in owed],
    }


def definition_json(found: NamedDefinition) -> dict[str, Any]:
    """Return what a name means, with its tables if they were read."""
    values = {
        "name": found.name,
        "is_file": found.is_file,
        "tenant": found.tenant,
        "version": found.version,
        "updated_at": found.updated_at,
    }
    return values if found.tables is None else values | {"definition": found.tables}


def cause_json(group: CauseGroup) -> dict[str, Any]:
    """Return what dead items died of."""
    return {
        "cause": group.cause.id,
        "count": group.count,
        "definition": group.definition,
        "stage": group.cause.stage,
        "kind": group.cause.kind,
        "type": group.cause.type,
        "message": group.cause.message,
        "first_at": group.first_at,
        "last_at": group.last_at,
        "example": group.example,
    }


def replay_json(batch_id: str, count: ReplayCount | Conflict) -> dict[str, Any]:
    """Return what came of replaying the dead items of a batch that match a filter."""
    if isinstance(count, Conflict):
        return {"batch_id": batch_id, "matched": None, "replayed": 0, "error": str(count)}
    return {"batch_id": batch_id, "matched": count.matched, "replayed": count.replayed, "error": None}


def dead_json(row: Row) -> dict[str, Any]:
    """Return a dead item of a list."""
    return {
        "batch_id": row["public_id"],
        "item_id": item_id(row["public_id"], row["position"]),
        "key": row["key"],
        "attempt": row["attempt"],
        "attempts": row["attempts"],
        **{name: row[f"error_{name}"] for name in ("kind", "type", "message", "stage")},
        "answer": row["answer"],
        "finished_at": row["finished_at"],
    }


def delivery_json(context: Context, row: Row) -> dict[str, Any]:
    """Return a delivery."""
    item, condition = row["item_id"], waits_for(context, row)
    return {
        **_delivery_row_json(row, row["public_id"]),
        "batch_id": row["public_id"],
        "item_id": None if item is None else item_id(row["public_id"], item % POSITIONS_PER_BATCH),
        "key": row["key"],
        "bundle": row["bundle"],
        "endpoint_disabled": row["disabled_reason"],
        "waits": None if condition is None else _condition_json(condition),
    }


def delivery_with_attempts_json(context: Context, shown: Shown) -> dict[str, Any]:
    """Return a delivery and its attempts."""
    attempts = [timed_attempt(_attempt_json(row)) for row in shown.attempts]
    return {**delivery_json(context, shown.delivery), "attempts": attempts}


def timed_attempt(attempt: dict[str, Any]) -> dict[str, Any]:
    """Return an attempt with its duration."""
    seconds = (attempt["ended_at"] - attempt["started_at"]).total_seconds()
    return {**attempt, "duration_seconds": round(seconds, 3)}


def endpoint_json(endpoint: KnownEndpoint) -> dict[str, Any]:
    """Return an endpoint."""
    condition = endpoint.condition
    return {
        "origin": endpoint.origin,
        "state": condition.state.value,
        "since": condition.since,
        "until": condition.until,
        "reason": condition.reason,
        "settings": endpoint.settings,
        "secrets": [{name: getattr(secret, name) for name in _SECRET} for secret in endpoint.own.secrets],
        "headers": list(endpoint.own.headers),
        "locked": endpoint.own.locked,
        "backlog": endpoint.backlog,
        "delivered": endpoint.taken.number,
        "oldest_due_at": endpoint.oldest_due_at,
        **{name: getattr(endpoint.health, name) for name in _HEALTH},
        "last_success_at": endpoint.last_success_at,
        **{name: getattr(endpoint.health.breaker, name) for name in _BREAKER},
        "notices": [{name: notice[name] for name in _NOTICE} for notice in endpoint.notices],
    }


def ping_json(sent: Sent) -> dict[str, Any]:
    """Return what a ping came to."""
    answer = sent.answer
    return {
        "url": redact_url(sent.owed.url),
        "webhook_id": sent.owed.webhook_id,
        "status": answer.status,
        "duration_seconds": round((sent.ended_at - sent.started_at).total_seconds(), 3),
        "error": answer.code,
        "message": consequence(answer) or explain(answer),
        "answer": answer.text,
    }


def _attempt_json(row: Row) -> dict[str, Any]:
    return {name: row[name] for name in _ATTEMPT}


def _delivery_row_json(row: Row, batch_id: str) -> dict[str, Any]:
    return {
        **{name: row[name] for name in _DELIVERY},
        "url": redact_url(row["url"]),
        "endpoint": row["origin"],
        "webhook_id": webhook_id(batch_id, row["seq"]),
    }


def _condition_json(condition: Condition) -> dict[str, Any]:
    return {
        "endpoint": condition.state.value,
        "since": condition.since,
        "until": condition.until,
        "reason": condition.reason,
    }


def _parse(text: str | None) -> Any:
    return None if text is None else orjson.loads(text)
