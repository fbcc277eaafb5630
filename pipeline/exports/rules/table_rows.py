"""Results as rows of a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

#: The columns of a table of results, with their types.
COLUMNS: Mapping[str, str] = {
    "batch_id": "text",
    "item_id": "text",
    "key": "text",
    "seq": "bigint",
    "state": "text",
    "label": "text",
    "confidence": "double precision",
    "classification": "jsonb",
    "enrichment": "jsonb",
    "error_kind": "text",
    "error_type": "text",
    "error_message": "text",
    "error_stage": "text",
    "attempts": "integer",
    "created_at": "timestamptz",
    "queued_at": "timestamptz",
    "started_at": "timestamptz",
    "classified_at": "timestamptz",
    "finished_at": "timestamptz",
}
_NAMED = ("batch_id", "item_id", "key", "seq", "state", "label", "confidence", "attempts")
_ERROR = ("kind", "type", "message", "stage")


def table_row(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return a result as a row. Values of JSON are text, and instants are ISO 8601."""
    error = result["error"] or dict.fromkeys(_ERROR)
    return {
        **{name: result[name] for name in _NAMED},
        **{name: _json(result[name]) for name in ("classification", "enrichment")},
        **{f"error_{name}": error[name] for name in _ERROR},
        **result["timings"],
    }


def newest_by_key(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the newest row of each key, and all without one: a statement cannot change one row twice."""
    newest: dict[object, Mapping[str, Any]] = {}
    for row in rows:
        # Without a key, every row is another one; the table refuses it.
        name = row["key"] if row["key"] is not None else (row["batch_id"], row["seq"])
        known = newest.get(name)
        if known is None or _age(known) <= _age(row):
            newest[name] = row
    return list(newest.values())


def _age(row: Mapping[str, Any]) -> tuple[str, int]:
    return row["finished_at"] or "", row["seq"]


def _json(value: Any) -> str | None:
    return None if value is None else orjson.dumps(value).decode()
