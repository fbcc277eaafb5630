"""The page of one item."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.responses import Response

from pipeline.batches import progress, replay
from pipeline.batches.progress import Details
from pipeline.context import Context
from pipeline.delivery import deliveries
from pipeline.domain.api_key import Scope
from pipeline.domain.bounds import shown
from pipeline.domain.ids import item_id, split_item_id
from pipeline.domain.item import ItemState
from pipeline.errors import Conflict, NotFound
from pipeline.http_api.page.visit import Visit


async def item(visit: Visit) -> Response:
    """Show one item from all sides."""
    visit.check(Scope.READ)
    found = await _details(visit)
    wants_payload = visit.request.query_params.get("payload") == "true"
    payload = None
    if wants_payload and visit.may(Scope.PAYLOADS):
        payload = orjson.dumps(orjson.loads(found.item["payload"]), option=orjson.OPT_INDENT_2).decode()
    owed = await visit.quick(deliveries.of_item, visit.context, found.batch["id"], found.item["id"])
    return visit.show(
        "item.html",
        item=_item_values(found),
        answers=_answers(found),
        attempts=found.attempts,
        deliveries=owed,
        payload=payload,
        may_see_payload=visit.may(Scope.PAYLOADS),
        may_operate=visit.may(Scope.OPERATE),
    )


async def replay_item(visit: Visit) -> Response:
    """Run a dead item again."""
    visit.check(Scope.OPERATE)
    found = await _details(visit)
    public_id, position = found.batch["public_id"], found.item["position"]
    name = item_id(public_id, position)
    if not await visit.quick(replay.replay, visit.context, public_id, ItemState.DEAD, positions=[position]):
        raise Conflict(f"item {name} is not dead, so there is nothing to replay")
    visit.gateway.work.wake()
    return visit.go(f"/ui/items/{name}", "The item runs again, with fresh attempts.")


async def _details(visit: Visit) -> Details:
    name = visit.request.path_params["item"]
    split = split_item_id(name)
    if split is None:
        raise NotFound(f"there is no item {shown(name)}")
    await visit.batch(split[0])
    found = await visit.quick(_read, visit.context, name, split[0])
    if found is None:
        raise NotFound(f"there is no item {shown(name)}")
    return found


def _read(context: Context, name: str, batch: str) -> Details | None:
    return progress.details(context, name, batch)


def _item_values(found: Details) -> dict[str, Any]:
    row, public_id = found.item, found.batch["public_id"]
    error = {name: row[f"error_{name}"] for name in ("stage", "type", "message")} if row["error_kind"] else None
    return {
        "item_id": item_id(public_id, row["position"]),
        "batch_id": public_id,
        "key": row["key"],
        "state": row["state"],
        "error": error,
    }


def _answers(found: Details) -> list[tuple[str, str]]:
    row = found.item
    confidence = "–" if row["confidence"] is None else f"{row['confidence']:.2f}"
    pairs = [("label", row["label"] or "–"), ("confidence", confidence), ("attempts", str(row["attempts"]))]
    if row["enrichment"] is not None:
        pairs += [(name, orjson.dumps(value).decode()) for name, value in orjson.loads(row["enrichment"]).items()]
    return pairs
