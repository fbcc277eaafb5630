"""One delivery and its attempts, and a list of deliveries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.cli.show.endpoint import condition_text
from pipeline.cli.show.item import shorten_answer
from pipeline.cli.show.output import print_fields
from pipeline.cli.show.table import print_table
from pipeline.delivery.rules.endpoint_state import Condition, EndpointState

_ATTEMPT = ("number", "started_at", "duration_seconds", "outcome", "status", "error_type", "trigger", "error_message")


def print_deliveries(deliveries: Sequence[Mapping[str, Any]]) -> None:
    """Print deliveries, each as `--json` prints it, as a table."""
    headers = (
        "id", "item", "key", "event", "state", "attempts", "due", "delivered", "status", "error", "url",
    )  # fmt: skip
    cells = []
    for delivery in deliveries:
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
                "; ".join(filter(None, (delivery["last_error"], _wait_reason(delivery)))),
                delivery["url"],
            )
        )
    below = ("url", "error", "event", "key", "due")
    print_table(headers, cells, right={"id", "attempts", "status"}, below=below, empty="no deliveries")


def print_delivery(delivery: Mapping[str, Any]) -> None:
    """Print a delivery and its attempts, as `--json` prints them, as text."""
    fields = {name: value for name, value in delivery.items() if name not in ("waits", "attempts")}
    fields |= {"id": str(delivery["id"]), "waits for": _wait_reason(delivery)}
    fields["last_status"] = str(delivery["last_status"] or "")
    print_fields(fields)
    if not delivery["attempts"]:
        return
    headers = ("number", "started", "seconds", "outcome", "status", "error", "trigger", "message", "response")
    rows = [
        [*(attempt[name] for name in _ATTEMPT), shorten_answer(attempt["answer"])] for attempt in delivery["attempts"]
    ]
    print_table(
        headers, rows, right={"number", "seconds", "status"}, below=("response", "message", "trigger"), title="attempts"
    )


def wait_text(condition: Condition | None) -> str | None:
    """Return what a delivery waits for, such as `endpoint open until 12:00:30`; None if not for its endpoint."""
    return None if condition is None else f"endpoint {condition_text(condition)}"


def _wait_reason(delivery: Mapping[str, Any]) -> str | None:
    waits = delivery["waits"]
    if waits is None:
        return None
    state = EndpointState(waits["endpoint"])
    return wait_text(Condition(state, waits["since"], waits["until"], waits["reason"]))
