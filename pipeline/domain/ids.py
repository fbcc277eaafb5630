"""Public ids: of batches, items, tasks, webhooks, bundles and alerts."""

from __future__ import annotations

import secrets
from typing import NamedTuple

# Crockford's base 32 in lower case: no i, l, o or u, so that ids can be read aloud and selected with a double click.
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_CHARACTERS = frozenset(_ALPHABET)
#: No id has a character that sorts after this one.
HIGHEST_CHARACTER = _ALPHABET[-1]
#: Characters of a batch id.
BATCH_ID_LENGTH = 16
_BUNDLE_LENGTH = 28
_SEQ_LENGTH = 12
#: The highest position in a batch: an item's row id has 32 bits for it.
MAX_POSITION = 2**32 - 1
_MAX_EPOCH = 2**31 - 1
#: Prefix of every webhook id.
WEBHOOK_PREFIX = "msg_"
_ALERT_PREFIX = "alr_"


class TaskIdParts(NamedTuple):
    """The parts of a Celery task id: the item, the stage, and the epoch of the release."""

    item_id: str
    stage: str
    epoch: int


def new_batch_id() -> str:
    """Return a new batch id of 80 random bits."""
    return _random_text(BATCH_ID_LENGTH)


def item_id(batch_id: str, position: int) -> str:
    """Return the public id of the item at `position`, counted from 1, in a batch."""
    return f"{batch_id}-{position}"


def is_batch_prefix(text: str) -> bool:
    """Return whether `text` has the form of a batch id or of its beginning."""
    return 0 < len(text) <= BATCH_ID_LENGTH and _CHARACTERS.issuperset(text)


def split_item_id(text: str) -> tuple[str, int] | None:
    """Return (batch id, position), or None if `text` does not end in a position as item ids have it."""
    batch_id, _, position = text.partition("-")
    number = _parse_number(position, MAX_POSITION)
    return None if number is None else (batch_id, number)


def task_id(item: str, stage: str, epoch: int) -> str:
    """Return the id of the Celery task that runs `stage` of an item under the epoch of one release."""
    return f"{item}-{stage}-{epoch}"


def split_task_id(text: str) -> TaskIdParts | None:
    """Return the parts of a task id, or None if `text` is not one."""
    head, _, epoch = text.rpartition("-")
    item, _, stage = head.rpartition("-")
    number = _parse_number(epoch, _MAX_EPOCH)
    if split_item_id(item) is None or number is None:
        return None
    return TaskIdParts(item, stage, number)


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


def new_alert_id() -> str:
    """Return a new id of an alert, of 80 random bits."""
    return f"{_ALERT_PREFIX}{_random_text(BATCH_ID_LENGTH)}"


def _parse_number(text: str, most: int) -> int | None:
    """Return a number from 1 to `most` that is written without leading zeros; None for any other text."""
    # The length first: Python refuses to parse thousands of digits.
    if len(text) > len(str(most)) or not (text.isascii() and text.isdigit()) or text.startswith("0"):
        return None
    return int(text) if int(text) <= most else None


def _random_text(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
