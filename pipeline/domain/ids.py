"""Names that people and receivers see."""

from __future__ import annotations

import secrets
from typing import NamedTuple

# Crockford's base 32 in lower case: no i, l, o, u, so that an id can be read aloud and selected with two clicks.
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_BATCH_LENGTH = 16
_BUNDLE_LENGTH = 28
_SEQ_LENGTH = 12
#: Every webhook id begins so.
WEBHOOK_PREFIX = "msg_"


class TaskName(NamedTuple):
    """What a Celery task id says: which item, which stage, which release."""

    item_id: str
    stage: str
    epoch: int


def new_batch_id() -> str:
    """Return a fresh batch id: 80 random bits."""
    return _random(_BATCH_LENGTH)


def item_id(batch_id: str, position: int) -> str:
    """Return the public id of the item at `position` (from 1) of a batch."""
    return f"{batch_id}-{position}"


def split_item_id(text: str) -> tuple[str, int] | None:
    """Return (batch id, position), or None where `text` is no item id."""
    batch, dash, position = text.partition("-")
    if not dash or not position.isascii() or not position.isdigit():
        return None
    return batch, int(position)


def task_id(item: str, stage: str, epoch: int) -> str:
    """Return the id of the Celery task that runs `stage` of an item at one release."""
    return f"{item}-{stage}-{epoch}"


def split_task_id(text: str) -> TaskName | None:
    """Return what a task id names, or None where `text` is none."""
    item, _, rest = text.rpartition("-")
    item, _, stage = item.rpartition("-")
    if split_item_id(item) is None or not rest.isascii() or not rest.isdigit():
        return None
    return TaskName(item, stage, int(rest))


def webhook_id(batch_id: str, seq: int) -> str:
    """Return the `webhook-id` of an event: the same for every attempt, replay and receiver of it.

    Standard Webhooks allows no `.`; the sequence number is padded so that ids of a batch sort.
    """
    return f"{WEBHOOK_PREFIX}{batch_id}{seq:0{_SEQ_LENGTH}d}"


def split_webhook_id(text: str) -> tuple[str, int] | None:
    """Return (batch id, `seq`) of the event that a webhook id names, or None where `text` names none."""
    batch, seq = text.removeprefix(WEBHOOK_PREFIX)[:-_SEQ_LENGTH], text[-_SEQ_LENGTH:]
    if not (text.startswith(WEBHOOK_PREFIX) and batch and seq.isascii() and seq.isdigit()):
        return None
    return batch, int(seq)


def new_bundle_id() -> str:
    """Return a fresh `webhook-id` for deliveries that travel together: as long as an event's, and random."""
    return f"{WEBHOOK_PREFIX}{_random(_BUNDLE_LENGTH)}"


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
