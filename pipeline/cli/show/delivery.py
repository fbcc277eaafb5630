"""One delivery as the command line shows it."""

from __future__ import annotations

from typing import Any

from pipeline.cli.show.endpoint import in_words
from pipeline.cli.show.item import attempt, delivery
from pipeline.cli.show.output import cell, print_facts
from pipeline.cli.show.table import print_table
from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.database.tables import POSITIONS_PER_BATCH
from pipeline.delivery.deliveries import Shown
from pipeline.delivery.delivery_search import waits_for
from pipeline.delivery.rules.endpoint_state import Condition
from pipeline.domain.ids import item_id

#: Characters of an answer that people are shown; JSON has all that is kept.
_SHOWN_ANSWER = 200
_ATTEMPT = ("number", "started_at", "duration_seconds", "outcome", "status", "error_type", "trigger", "error_message")


def described(context: Context, row: Row) -> dict[str, Any]:
    """Return what is known of a delivery, as `--json` prints it."""
    item, waits = row["item_id"], waits_for(context, row)
    return {
        **delivery(row, row["public_id"]),
        "batch_id": row["public_id"],
        "item_id": None if item is None else item_id(row["public_id"], item % POSITIONS_PER_BATCH),
        "key": row["key"],
        "bundle": row["bundle"],
        "endpoint_disabled": row["disabled_reason"],
        "waits": None if waits is None else _plain(waits),
    }


def with_attempts(context: Context, shown: Shown) -> dict[str, Any]:
    """The same, with each attempt."""
    return {**described(context, shown.delivery), "attempts": [_attempt(row) for row in shown.attempts]}


def print_list(context: Context, rows: list[Row]) -> None:
    """Print deliveries, for people."""
    headers = (
        "id", "item", "key", "event", "state", "attempts", "due", "delivered", "status", "error", "url",
    )  # fmt: skip
    cells = []
    for row in rows:
        found = described(context, row)
        is_waiting = found["state"] in ("pending", "sending", "paused")
        cells.append(
            (
                str(found["id"]),
                # What is of the batch itself has no item.
                found["item_id"] or found["batch_id"],
                found["key"],
                found["type"],
                found["state"],
                found["attempt"],
                found["due_at"] if is_waiting else None,
                found["finished_at"] if found["state"] == "delivered" else None,
                str(found["last_status"] or ""),
                "; ".join(filter(None, (found["last_error"], why_it_waits(context, row)))),
                found["url"],
            )
        )
    print_table(headers, cells, right={"id", "attempts", "status"}, below=("url", "error", "event", "key", "due"))


def print_delivery(context: Context, shown: Shown) -> None:
    """Print a delivery and its attempts, for people."""
    found = described(context, shown.delivery)
    facts = {name.replace("_", " "): value for name, value in found.items() if name != "waits"}
    facts |= {"id": str(found["id"]), "waits": why_it_waits(context, shown.delivery)}
    facts["last status"] = str(found["last_status"] or "")
    print_facts(facts)
    attempts = [_attempt(row) for row in shown.attempts]
    if not attempts:
        return
    headers = ("number", "started", "seconds", "outcome", "status", "error", "trigger", "message", "answer")
    rows = [[*(each[name] for name in _ATTEMPT), _beginning(each["answer"])] for each in attempts]
    print_table(
        headers, rows, right={"number", "seconds", "status"}, below=("answer", "message", "trigger"), title="attempts"
    )


def why_it_waits(context: Context, row: Row) -> str | None:
    """Return `endpoint open until 12:00:30`, where a delivery waits for its endpoint."""
    found = waits_for(context, row)
    return None if found is None else f"endpoint {in_words(found)}"


def _plain(waits: Condition) -> dict[str, Any]:
    return {"endpoint": waits.state.value, "since": waits.since, "until": waits.until, "reason": waits.reason}


def _attempt(row: Row) -> dict[str, Any]:
    seconds = (row["ended_at"] - row["started_at"]).total_seconds()
    return {**attempt(row), "duration_seconds": round(seconds, 3), "answer": row["answer"]}


def _beginning(answer: str | None) -> str:
    text = cell(answer)
    return text if len(text) <= _SHOWN_ANSWER else f"{text[:_SHOWN_ANSWER]}…"
