"""Replay one dead item, as it is or with another payload."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pipeline.batches.find import find_batch, pruned_meanwhile, refuse_if_cancelling
from pipeline.batches.replays.replay import refuse_if_guarded, replay_dead
from pipeline.batches.sql import batches, dead, interventions, items
from pipeline.batches.sql import definitions as stored_definitions
from pipeline.batches.validate import Rules, check_payload
from pipeline.connections.destinations import Destinations
from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.definitions import InputSpec
from pipeline.definitions.input_and_retry import input_mapping
from pipeline.domain.intervention import Action
from pipeline.domain.item import ItemState


def replay_item(context: Context, batch: Row, item: Row) -> bool:
    """Replay a dead item at the stage where it failed. Return False if it is not dead.

    Raises:
        Conflict: its batch was cancelled, and some of the batch's items are not final yet.
    """
    return replay_dead(context, batch["public_id"], positions=[item["position"]]) == 1


def replay_with_payload(
    context: Context, batch: Row, item: Row, payload: Mapping[str, Any], *, key_id: str | None = None
) -> bool:
    """Replay a dead item with another payload, from the first stage on. Return False if the item is not dead.

    The payload before is kept as long as the item. The item keeps its key and its callback URL.

    Args:
        key_id: the API key that asked for it.

    Raises:
        InvalidInput: the payload would not have been accepted when the batch was submitted.
        Conflict: its batch was cancelled, and some of the batch's items are not final yet; or a guard has fired.
    """
    refuse_if_guarded(context, batch)
    with context.database.read() as connection:
        content = stored_definitions.load_content(connection, batch["definition_id"])
    rules = _rules(context, content)
    text = check_payload(rules, rules.mapping.apply(payload))
    with context.database.write() as connection:
        refuse_if_cancelling(find_batch(connection, batch["public_id"]))
        now = context.now()
        if not dead.replace_payload(connection, item["id"], text, key_id, now):
            return False
        items.replay(connection, batch["id"], ItemState.DEAD, ids=[item["id"]], after=0, now=now, limit=1)
        if not batches.reopen(connection, batch["id"], 1, ItemState.DEAD):
            raise pruned_meanwhile(batch["public_id"])
        interventions.add(connection, batch["id"], Action.REPLAY, context.actor, now, 1)
    return True


def earlier_payloads(context: Context, item: Row) -> list[Row]:
    """Return the payloads that an item had before it was replayed with others, oldest first: `at`, `payload`."""
    with context.database.read() as connection:
        return dead.find_replaced(connection, item["id"])


def text_fields(context: Context, batch: Row) -> tuple[str, ...]:
    """Return the payload fields that a batch's classifier reads."""
    with context.database.read() as connection:
        return _input(stored_definitions.load_content(connection, batch["definition_id"])).text_fields


def _rules(context: Context, content: Mapping[str, Any]) -> Rules:
    given = _input(content)
    return Rules(
        text_fields=given.text_fields,
        # A stored payload has the new names.
        mapping=replace(input_mapping(given), rename={}),
        accepts_empty_text=given.empty == "accept",
        key_field=None,
        callback_url_field=None,
        max_payload_bytes=context.settings.max_payload_bytes,
        destinations=Destinations(),
        has_secret=False,
    )


def _input(content: Mapping[str, Any]) -> InputSpec:
    return InputSpec.model_validate(content.get("input", {}))
