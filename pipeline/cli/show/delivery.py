"""One delivery and its attempts."""

from __future__ import annotations

from typing import Any

from pipeline.cli.show.endpoint import condition_text
from pipeline.cli.show.item import attempt_json, delivery_row_json, shorten_answer
from pipeline.cli.show.output import print_fields
from pipeline.cli.show.table import print_table
from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.database.tables import POSITIONS_PER_BATCH
from pipeline.delivery.deliveries import Shown
from pipeline.delivery.delivery_search import waits_for
from pipeline.delivery.rules.endpoint_state import Condition
from pipeline.domain.ids import item_id

_ATTEMPT = ("number", "started_at", "duration_seconds", "outcome", "status", "error_type", "trigger", "error_message")


def delivery_json(context: Context, row: Row) -> dict[str, Any]:
    """Return a delivery as `--json` prints it."""
    item, condition = row["item_id"], waits_for(context, row)
    return {
        **delivery_row_json(row, row["public_id"]),
        "batch_id": row["public_id"],
        "item_id": None if item is None else item_id(row["public_id"], item % POSITIONS_PER_BATCH),
        "key": row["key"],
        "bundle": row["bundle"],
        "endpoint_disabled": row["disabled_reason"],
        "waits": None if condition is None else _condition_json(condition),
    }


def delivery_with_attempts_json(context: Context, shown: Shown) -> dict[str, Any]:
    """Return a delivery and its attempts as `--json` prints them."""
    return {**delivery_json(context, shown.delivery), "attempts": [_attempt_json(row) for row in shown.attempts]}


def print_deliveries(context: Context, rows: list[Row]) -> None:
    """Print deliveries as a table."""
    headers = (
        "id", "item", "key", "event", "state", "attempts", "due", "delivered", "status", "error", "url",
    )  # fmt: skip
    cells = []
    for row in rows:
        delivery = delivery_json(context, row)
        is_waiting = delivery["state"] in ("pending", "sending", "paused")
        cells.append(
            (
                str(delivery["id"]),
                # A batch event has no item.
                delivery["item_id"] or delivery["batch_id"],
                delivery["key"],
                delivery["type"],
                delivery["state"],
                delivery["attempt"],
                delivery["due_at"] if is_waiting else None,
                delivery["finished_at"] if delivery["state"] == "delivered" else None,
                str(delivery["last_status"] or ""),
                "; ".join(filter(None, (delivery["last_error"], wait_reason(context, row)))),
                delivery["url"],
            )
        )
    below = ("url", "error", "event", "key", "due")
    print_table(headers, cells, right={"id", "attempts", "status"}, below=below, empty="no deliveries")


def print_delivery(context: Context, shown: Shown) -> None:
    """Print a delivery and its attempts as text."""
    delivery = delivery_json(context, shown.delivery)
    fields = {name: value for name, value in delivery.items() if name != "waits"}
    fields |= {"id": str(delivery["id"]), "waits for": wait_reason(context, shown.delivery)}
    fields["last_status"] = str(delivery["last_status"] or "")
    print_fields(fields)
    attempts = [_attempt_json(row) for row in shown.attempts]
    if not attempts:
        return
    headers = ("number", "started", "seconds", "outcome", "status", "error", "trigger", "message", "response")
    rows = [[*(attempt[name] for name in _ATTEMPT), shorten_answer(attempt["answer"])] for attempt in attempts]
    print_table(
        headers, rows, right={"number", "seconds", "status"}, below=("response", "message", "trigger"), title="attempts"
    )


def wait_reason(context: Context, row: Row) -> str | None:
    """Return what a delivery waits for, such as `endpoint open until 12:00:30`; None if not for its endpoint."""
    condition = waits_for(context, row)
    return None if condition is None else f"endpoint {condition_text(condition)}"


def _condition_json(condition: Condition) -> dict[str, Any]:
    return {
        "endpoint": condition.state.value,
        "since": condition.since,
        "until": condition.until,
        "reason": condition.reason,
    }


def _attempt_json(row: Row) -> dict[str, Any]:
    seconds = (row["ended_at"] - row["started_at"]).total_seconds()
    return {**attempt_json(row), "duration_seconds": round(seconds, 3)}
