"""Public ids: of batches, items, tasks, webhooks and bundles."""

from __future__ import annotations

import secrets
from typing import NamedTuple

# Crockford's base 32 in lower case: no i, l, o or u, so that ids can be read aloud and selected with a double click.
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_BATCH_LENGTH = 16
_BUNDLE_LENGTH = 28
_SEQ_LENGTH = 12
#: Prefix of every webhook id.
WEBHOOK_PREFIX = "msg_"


class TaskIdParts(NamedTuple):
    """The parts of a Celery task id: the item, the stage, and the epoch of the release."""

    item_id: str
    stage: str
    epoch: int


def new_batch_id() -> str:
    """Return a new batch id of 80 random bits."""
    return _random_text(_BATCH_LENGTH)


def item_id(batch_id: str, position: int) -> str:
    """Return the public id of the item at `position`, counted from 1, in a batch."""
    return f"{batch_id}-{position}"


def split_item_id(text: str) -> tuple[str, int] | None:
    """Return (batch id, position), or None if `text` is not an item id."""
    batch_id, dash, position = text.partition("-")
    if not dash or not position.isascii() or not position.isdigit():
        return None
    return batch_id, int(position)


def task_id(item: str, stage: str, epoch: int) -> str:
    """Return the id of the Celery task that runs `stage` of an item under the epoch of one release."""
    return f"{item}-{stage}-{epoch}"


def split_task_id(text: str) -> TaskIdParts | None:
    """Return the parts of a task id, or None if `text` is not one."""
    head, _, epoch = text.rpartition("-")
    item, _, stage = head.rpartition("-")
    if split_item_id(item) is None or not epoch.isascii() or not epoch.isdigit():
        return None
    return TaskIdParts(item, stage, int(epoch))


def webhook_id(batch_id: str, seq: int) -> str:
    """Return the `webhook-id` of an event: the same for every attempt, replay and receiver.

    Standard Webhooks does not allow `.` in it. The sequence number is zero-padded so that the ids of a batch sort.
    """
    return f"{WEBHOOK_PREFIX}{batch_id}{seq:0{_SEQ_LENGTH}d}"


def split_webhook_id(text: str) -> tuple[str, int] | None:
    """Return the (batch id, `seq`) of the event with this webhook id, or None if `text` is not the id of an event."""
    batch_id, seq = text.removeprefix(WEBHOOK_PREFIX)[:-_SEQ_LENGTH], text[-_SEQ_LENGTH:]
    if not (text.startswith(WEBHOOK_PREFIX) and batch_id and seq.isascii() and seq.isdigit()):
        return None
    return batch_id, int(seq)


def new_bundle_id() -> str:
    """Return a new, random `webhook-id` for a bundle of deliveries; it is as long as an event's."""
    return f"{WEBHOOK_PREFIX}{_random_text(_BUNDLE_LENGTH)}"


def _random_text(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
