"""One item: its row, its failed attempts and its deliveries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from pipeline.batches.progress import Details
from pipeline.cli.show.output import format_value, print_fields
from pipeline.cli.show.table import print_table
from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.delivery import deliveries
from pipeline.domain.ids import item_id, webhook_id
from pipeline.domain.redaction import redact_url

_PLAIN = ("key", "state", "stage", "attempt", "attempts", "crashes", "label", "confidence")
_TIMES = ("created_at", "due_at", "queued_at", "started_at", "classified_at", "finished_at", "lease_until")
_ERROR = ("kind", "type", "message", "stage")
_ATTEMPT = (
    "stage", "number", "trigger", "outcome", "status", "error_type", "error_message", "started_at", "ended_at",
    "worker", "answer",
)  # fmt: skip
_DELIVERY = ("id", "type", "state", "attempt", "due_at", "last_status", "last_error", "created_at", "finished_at")


#: Characters of an answer in the text output; the JSON has everything that is stored.
_ANSWER_LENGTH = 200


def item_json(context: Context, details: Details, *, with_payload: bool) -> dict[str, Any]:
    """Return an item, its failed attempts and its deliveries as `--json` prints them."""
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
        "failed_attempts": [attempt_json(attempt) for attempt in details.attempts],
        "deliveries": [delivery_row_json(delivery, batch["public_id"]) for delivery in owed],
    }


def attempt_json(row: Row) -> dict[str, Any]:
    """Return an attempt as `--json` prints it."""
    return {name: row[name] for name in _ATTEMPT}


def delivery_row_json(row: Row, batch_id: str) -> dict[str, Any]:
    """Return a delivery of a batch as `--json` prints it."""
    return {
        **{name: row[name] for name in _DELIVERY},
        "url": redact_url(row["url"]),
        "endpoint": row["origin"],
        "webhook_id": webhook_id(batch_id, row["seq"]),
    }


def print_item(item: Mapping[str, Any]) -> None:
    """Print the value of `item_json` as text."""
    fields: dict[str, str | None]
    fields = {name: _text(value) for name, value in item.items() if not isinstance(value, list)}
    fields |= {"error": _error_text(item["error"]), "attempts": _attempts_text(item)}
    del fields["attempts_by_stage"], fields["attempt"]
    print_fields(fields)
    if item["failed_attempts"]:
        _print_attempts(item["failed_attempts"])
    if item["deliveries"]:
        headers = ("id", "event", "state", "attempts", "due", "status", "error", "url")
        names = ("id", "type", "state", "attempt", "due_at", "last_status", "last_error", "url")
        rows = [[str(row["id"]), *(row[name] for name in names[1:])] for row in item["deliveries"]]
        print_table(headers, rows, title="deliveries", below=("url", "error", "due"))


def _error_text(error: Mapping[str, Any] | None) -> str | None:
    return None if error is None else f"{error['type']}: {error['message']} ({error['kind']}, in {error['stage']})"


def _attempts_text(item: Mapping[str, Any]) -> str:
    return ", ".join(f"{number:,} {stage}" for stage, number in item["attempts_by_stage"].items())


def _print_attempts(attempts: Sequence[Mapping[str, Any]]) -> None:
    headers = ("stage", "number", "outcome", "status", "error", "message", "answer", "ended")
    names = ("stage", "number", "outcome", "status", "error_type", "error_message")
    rows = [
        (*(attempt[name] for name in names), shorten_answer(attempt["answer"]), attempt["ended_at"])
        for attempt in attempts
    ]
    print_table(headers, rows, title="failed attempts", below=("answer", "message", "error"))


def shorten_answer(answer: str | None) -> str:
    """Return the beginning of what another service answered."""
    text = format_value(answer)
    return text if len(text) <= _ANSWER_LENGTH else f"{text[:_ANSWER_LENGTH]}…"


def _parse(text: str | None) -> Any:
    return None if text is None else orjson.loads(text)


def _text(value: Any) -> str:
    return orjson.dumps(value).decode() if isinstance(value, dict) else format_value(value)
