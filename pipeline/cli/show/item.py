"""One item from all sides: its row, its failed attempts, and what is owed for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import orjson

from pipeline.batches import progress
from pipeline.batches.find import find_batch
from pipeline.batches.progress import Details
from pipeline.batches.sql import items
from pipeline.cli.show.output import cell, print_facts
from pipeline.cli.show.table import print_table
from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.domain.ids import item_id, webhook_id
from pipeline.errors import NotFound

_PLAIN = ("key", "state", "stage", "attempt", "attempts", "crashes", "label", "confidence")
_TIMES = ("created_at", "due_at", "queued_at", "started_at", "classified_at", "finished_at", "lease_until")
_ERROR = ("kind", "type", "message", "stage")
_ATTEMPT = (
    "stage", "number", "trigger", "outcome", "status", "error_type", "error_message", "started_at", "ended_at",
    "worker",
)  # fmt: skip
_DELIVERY = ("id", "type", "state", "attempt", "due_at", "last_status", "last_error", "created_at", "finished_at")


def find(context: Context, name: str, batch: str) -> Details | None:
    """Return the item that an item id, a task id, or, in `batch`, a key names; None where it is neither.

    Raises:
        NotFound: it looks like an id, but there is no such item.
    """
    try:
        details = progress.details(context, name)
    except NotFound:
        # Keys may look like ids: T-0001.
        details = _by_key(context, name, batch)
        if details is None:
            raise
        return details
    return details or _by_key(context, name, batch)


def _by_key(context: Context, key: str, batch: str) -> Details | None:
    with context.database.read() as connection:
        row = find_batch(connection, batch)
        position = items.positions_of_keys(connection, row["id"], [key]).get(key)
    return None if position is None else progress.details(context, item_id(row["public_id"], position))


def described(details: Details, owed: Sequence[Row], *, with_payload: bool) -> dict[str, Any]:
    """Return what is known of an item and its deliveries, as `--json` prints it."""
    row = details.item
    return {
        "batch_id": details.batch["public_id"],
        "item_id": item_id(details.batch["public_id"], row["position"]),
        **{name: row[name] for name in (*_PLAIN, *_TIMES, "worker")},
        **{name: _parsed(row[name]) for name in ("classification", "enrichment")},
        "error": {name: row[f"error_{name}"] for name in _ERROR} if row["error_kind"] else None,
        **({"payload": _parsed(row["payload"])} if with_payload else {}),
        "failed_attempts": [attempt(each) for each in details.attempts],
        "deliveries": [delivery(each, details.batch["public_id"]) for each in owed],
    }


def attempt(row: Row) -> dict[str, Any]:
    """Return an attempt as `--json` prints it."""
    return {name: row[name] for name in _ATTEMPT}


def delivery(row: Row, batch_id: str) -> dict[str, Any]:
    """Return a delivery of a batch as `--json` prints it."""
    return {
        **{name: row[name] for name in _DELIVERY},
        "url": shown_url(row["url"]),
        "endpoint": row["origin"],
        "webhook_id": webhook_id(batch_id, row["seq"]),
    }


def shown_url(url: str) -> str:
    """Return a URL without user name, password and query, any of which may hold a secret."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}{'?…' if parts.query else ''}"


def print_item(found: Mapping[str, Any]) -> None:
    """Print what `described` returned, for people."""
    named = {name.replace("_", " "): _shown(value) for name, value in found.items() if not isinstance(value, list)}
    print_facts(named)
    if found["failed_attempts"]:
        print_attempts(found["failed_attempts"], "failed attempts")
    if found["deliveries"]:
        headers = ("id", "event", "state", "attempts", "due", "status", "error", "url")
        fields = ("id", "type", "state", "attempt", "due_at", "last_status", "last_error", "url")
        rows = [[str(row["id"]), *(row[name] for name in fields[1:])] for row in found["deliveries"]]
        print_table(headers, rows, title="deliveries", below=("url", "error", "due"))


def print_attempts(rows: list[dict[str, Any]], title: str) -> None:
    """Print attempts, for people."""
    headers = ("stage", "number", "outcome", "status", "error", "message", "ended")
    fields = ("stage", "number", "outcome", "status", "error_type", "error_message", "ended_at")
    print_table(headers, [[row[name] for name in fields] for row in rows], title=title, below=("message", "error"))


def _parsed(text: str | None) -> Any:
    return None if text is None else orjson.loads(text)


def _shown(value: Any) -> str:
    return orjson.dumps(value).decode() if isinstance(value, dict) else cell(value)
