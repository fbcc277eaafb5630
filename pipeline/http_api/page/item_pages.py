"""The items of a batch, and one item from all sides."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.responses import Response

from pipeline.batches import progress
from pipeline.batches.progress import Details
from pipeline.batches.replays import replay_item
from pipeline.database.row import Row
from pipeline.delivery import deliveries
from pipeline.domain.api_key import Scope
from pipeline.domain.filters import ItemFilter
from pipeline.domain.ids import item_id
from pipeline.domain.item import ItemState
from pipeline.http_api.page.filters import choice_filter, chosen, is_filtered, older_link, text_filter
from pipeline.http_api.page.text import took
from pipeline.http_api.page.visit import ROWS, Visit

_TIMES = ("created_at", "queued_at", "started_at", "classified_at", "finished_at", "due_at")


async def items(visit: Visit) -> Response:
    """List items of a batch, in the order of the input."""
    visit.check(Scope.READ)
    batch = await visit.batch(visit.path("batch"))
    state = choice_filter(visit.query, "state", "State", ItemState)
    label, key = text_filter(visit.query, "label", "Label"), text_filter(visit.query, "key", "Key")
    fields = [state, label, key]
    found, position = await visit.quick(
        progress.listed_items,
        visit.context,
        batch["id"],
        ItemFilter(chosen(ItemState, state), label.value or None, key.value or None),
        after=visit.after_id or 0,
        limit=ROWS,
    )
    rows = [{**row, "item_id": item_id(batch["public_id"], row["position"])} for row in found]
    return visit.show(
        "items.html",
        batch=batch["public_id"],
        rows=rows,
        fields=fields,
        is_filtered=is_filtered(fields),
        older=older_link(fields, position),
    )


async def item(visit: Visit) -> Response:
    """Show one item from all sides."""
    visit.check(Scope.READ)
    found = await find_item(visit)
    payloads: list[dict[str, Any]] = []
    if visit.query.get("payload") == "true" and visit.may(Scope.PAYLOADS):
        earlier = await visit.quick(replay_item.earlier_payloads, visit.context, found.item)
        payloads = [{"until": row["at"], "text": pretty(row["payload"])} for row in earlier]
        payloads.append({"until": None, "text": pretty(found.item["payload"])})
    owed = await visit.quick(deliveries.of_item, visit.context, found.batch["id"], found.item["id"])
    return visit.show(
        "item.html",
        item=item_values(found),
        answers=_answers(found.item),
        enrichment=_enrichment(found.item),
        times=[(name.removesuffix("_at"), found.item[name]) for name in _TIMES if found.item[name]],
        attempts=found.attempts,
        deliveries=owed,
        payloads=payloads[::-1],
        may_see_payload=visit.may(Scope.PAYLOADS),
        may_operate=visit.may(Scope.OPERATE),
    )


async def find_item(visit: Visit) -> Details:
    """Return the item that the path names.

    Raises:
        NotFound: there is none that the visitor may see.
    """
    return await visit.quick(progress.owned_details, visit.context, visit.path("item"), visit.caller.sees)


def item_values(found: Details) -> dict[str, Any]:
    """Return what the head of a page about an item shows."""
    row, public_id = found.item, found.batch["public_id"]
    error = {name: row[f"error_{name}"] for name in ("stage", "type", "message")} if row["error_kind"] else None
    return {
        "item_id": item_id(public_id, row["position"]),
        "batch_id": public_id,
        "definition": found.batch["definition"],
        "key": row["key"],
        "state": row["state"],
        "error": error,
    }


def pretty(payload: str) -> str:
    """Return a stored payload as people read it."""
    return orjson.dumps(orjson.loads(payload), option=orjson.OPT_INDENT_2).decode()


def _answers(row: Row) -> list[tuple[str, str]]:
    confidence = "–" if row["confidence"] is None else f"{row['confidence']:.2f}"
    return [
        ("label", row["label"] or "–"),
        ("confidence", confidence),
        ("attempts", str(row["attempts"])),
        ("took", took(row["created_at"], row["finished_at"])),
    ]


def _enrichment(row: Row) -> list[tuple[str, str]]:
    """Return what each enricher answered."""
    found = orjson.loads(row["enrichment"]) if row["enrichment"] is not None else {}
    option = orjson.OPT_INDENT_2
    return [(name, orjson.dumps(value, option=option).decode()) for name, value in found.items()]
