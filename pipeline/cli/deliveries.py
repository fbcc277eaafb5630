"""`pipeline deliveries`."""

from __future__ import annotations

from typing import Any

import click

from pipeline.cli import options
from pipeline.cli.item import attempt, delivery
from pipeline.cli.output import Talk, print_facts, print_json
from pipeline.cli.recover import recover, replay_missing
from pipeline.cli.session import opened
from pipeline.cli.table import print_table
from pipeline.domain.delivery import DeliveryState
from pipeline.domain.identity import item_id, webhook_id
from pipeline.services import deliveries as service
from pipeline.storage.row import Row
from pipeline.storage.tables import POSITIONS_PER_BATCH

#: Characters of an answer that the table shows; JSON has all that is kept.
SHOWN_ANSWER = 200


@click.group()
def deliveries() -> None:
    """Callbacks: each is one event owed to one URL.

    \b
    Examples:
      pipeline deliveries list --batch last --state dead
      pipeline deliveries show 42
      pipeline deliveries recover --endpoint https://example.com --since 6h
    """


for _command in (recover, replay_missing):
    deliveries.add_command(_command)


@deliveries.command("list")
@click.option("--batch", metavar="BATCH", help="Only of this batch.")
@click.option("--state", type=click.Choice([each.value for each in DeliveryState]), help="Only in this state.")
@click.option("--endpoint", metavar="ORIGIN", help="Only to this endpoint: https://host, or any URL there.")
@options.limit(50)
@options.as_json
def list_(batch: str | None, state: str | None, endpoint: str | None, limit: int, as_json: bool) -> None:
    """List deliveries, newest first.

    \b
    Examples:
      pipeline deliveries list
      pipeline deliveries list --batch last --state dead --json
      pipeline deliveries list --endpoint https://example.com --state pending
    """
    with opened() as context:
        # One more than is shown says whether there are more.
        rows = service.newest(context, batch=batch, state=state, endpoint=endpoint, limit=limit + 1)
    found = [_described(row) for row in rows[:limit]]
    if as_json:
        print_json(found)
        return
    headers = ("id", "batch", "event", "state", "attempts", "due", "status", "error", "url")
    fields = ("batch_id", "type", "state", "attempt", "due_at", "last_status", "last_error", "url")
    print_table(headers, [[str(row["id"]), *(row[name] for name in fields)] for row in found], right={"id", "attempts"})
    if len(rows) > limit:
        Talk().say(f"there are more; --limit {limit * 10} shows them")


@deliveries.command("show")
@click.argument("delivery_id", metavar="ID", type=click.IntRange(1))
@options.as_json
def show(delivery_id: int, as_json: bool) -> None:
    """Show a delivery and each of its attempts: status, duration, error, and how the answer began.

    \b
    Examples:
      pipeline deliveries show 42
      pipeline deliveries show 42 --json
    """
    with opened() as context:
        shown = service.show(context, delivery_id)
    found = _described(shown.delivery)
    attempts = [_attempt(row) for row in shown.attempts]
    if as_json:
        print_json({**found, "attempts": attempts})
        return
    print_facts({name.replace("_", " "): value for name, value in {**found, "id": str(found["id"])}.items()})
    if attempts:
        _print_attempts(attempts)


@deliveries.command("replay")
@click.argument("delivery_id", metavar="ID", type=click.IntRange(1))
@options.as_json
def replay(delivery_id: int, as_json: bool) -> None:
    """Send a delivery again, now: the same webhook id and body, with a new timestamp and signature.

    The attempt counts for nothing in the schedule: one that was given up is tried once more, one that waits for its
    next attempt is tried on as before should this one fail.

    \b
    Examples:
      pipeline deliveries replay 42
    """
    with opened() as context:
        row = service.replay(context, delivery_id)
        is_embedded = context.settings.is_embedded
    if as_json:
        print_json(_described(row))
        return
    how = f"`pipeline run --batch {row['public_id']}` sends it" if is_embedded else "workers send it"
    Talk().say(f"delivery {delivery_id} is pending, due now; {how}")


def _attempt(row: Row) -> dict[str, Any]:
    seconds = (row["ended_at"] - row["started_at"]).total_seconds()
    return {**attempt(row), "duration_seconds": round(seconds, 3), "answer": row["answer"]}


def _print_attempts(attempts: list[dict[str, Any]]) -> None:
    headers = ("number", "started", "seconds", "outcome", "status", "error", "message", "trigger", "answer")
    fields = (
        "number", "started_at", "duration_seconds", "outcome", "status", "error_type", "error_message", "trigger",
    )  # fmt: skip
    rows = [[*(each[name] for name in fields), _beginning(each["answer"])] for each in attempts]
    print_table(headers, rows, right={"number", "seconds", "status"}, title="attempts")


def _beginning(answer: str | None) -> str | None:
    return answer if answer is None or len(answer) <= SHOWN_ANSWER else f"{answer[:SHOWN_ANSWER]}…"


def _described(row: Row) -> dict[str, Any]:
    item = row["item_id"]
    return {
        **delivery(row),
        "batch_id": row["public_id"],
        "item_id": None if item is None else item_id(row["public_id"], item % POSITIONS_PER_BATCH),
        "webhook_id": webhook_id(row["public_id"], row["seq"]),
        "bundle": row["bundle"],
        "endpoint_disabled": row["disabled_reason"],
    }
