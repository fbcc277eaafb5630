"""Replay one dead item, as it is or with another payload."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response

from pipeline.batches.progress import Details
from pipeline.batches.replays import replay_item as replays
from pipeline.domain.api_key import Scope
from pipeline.domain.ids import item_id
from pipeline.domain.item import ItemState
from pipeline.domain.strict_json import LossyJson, parse_strictly
from pipeline.errors import InvalidInput, NotFound
from pipeline.http_api.page.item_pages import find_item, item_values, pretty
from pipeline.http_api.page.visit import Visit
from pipeline.http_api.problems import Problem

#: Rows of the field for a payload.
_LEAST_ROWS, _MOST_ROWS = 8, 30


async def replay_item(visit: Visit) -> Response:
    """Replay a dead item at the stage where it failed."""
    visit.check(Scope.OPERATE)
    found = await find_item(visit)
    name = _name(found)
    if not await visit.quick(replays.replay_item, visit.context, found.batch, found.item):
        raise _not_dead(name)
    visit.gateway.work.wake()
    return visit.go(f"/ui/items/{name}", "The item runs again, with fresh attempts.")


async def edit_payload(visit: Visit) -> Response:
    """Show the payload of a dead item in a form."""
    _check(visit)
    found = await find_item(visit)
    if found.item["state"] != ItemState.DEAD:
        raise _not_dead(_name(found))
    return await _form(visit, found, pretty(found.item["payload"]))


async def replay_edited(visit: Visit) -> Response:
    """Replay a dead item with the payload in the form; show the form again if that cannot be used."""
    _check(visit)
    found = await find_item(visit)
    # Browsers end lines as in HTTP headers.
    text = (await visit.form()).get("payload", "").replace("\r\n", "\n")
    try:
        payload = _parsed(text)
        is_replayed = await visit.quick(
            replays.replay_with_payload,
            visit.context,
            found.batch,
            found.item,
            payload,
            key_id=visit.caller.key_id,
        )
    except NotFound:
        raise
    except InvalidInput as error:
        return await _form(visit, found, text, str(error))
    if not is_replayed:
        raise _not_dead(_name(found))
    visit.gateway.work.wake()
    message = "The item runs again from the first stage, with the new payload. The earlier one is kept."
    return visit.go(f"/ui/items/{_name(found)}", message)


def _check(visit: Visit) -> None:
    visit.check(Scope.OPERATE)
    visit.check(Scope.PAYLOADS)


async def _form(visit: Visit, found: Details, text: str, error: str = "") -> Response:
    return visit.show(
        "edit.html",
        422 if error else 200,
        item=item_values(found),
        text_fields=await visit.quick(replays.text_fields, visit.context, found.batch),
        payload=text,
        rows=min(max(text.count("\n") + 2, _LEAST_ROWS), _MOST_ROWS),
        error=error,
    )


def _parsed(text: str) -> dict[str, Any]:
    """Return the payload that somebody wrote.

    Raises:
        InvalidInput: it is no JSON object.
    """
    try:
        payload = parse_strictly(text)
    except json.JSONDecodeError as error:
        raise InvalidInput(f"line {error.lineno}, column {error.colno}: {error.msg}") from None
    except LossyJson as error:
        raise InvalidInput(str(error)) from None
    if not isinstance(payload, dict):
        raise InvalidInput("a payload is a JSON object; begin it with { and end it with }")
    return payload


def _name(found: Details) -> str:
    return item_id(found.batch["public_id"], found.item["position"])


def _not_dead(name: str) -> Problem:
    return Problem("not_dead", f"item {name} is not dead, so there is nothing to replay")
