"""Ids of traces and spans, computed from what every process knows, so that nothing has to carry them."""

from __future__ import annotations

import hashlib

_WHOLE = 2.0**64


def sample_number(item_id: str) -> float:
    """Return a number from 0 up to 1 that is the same for an item in every process, and evenly spread over items.

    An item is in a sample of a share of all items if its number is below that share. Its replays are as well.
    """
    return int.from_bytes(hashlib.sha256(item_id.encode()).digest()[:8], "big") / _WHOLE
