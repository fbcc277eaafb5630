"""The job that is compared: texts, a classifier and an enricher that cost next to nothing, and a signed callback.

Nothing but the standard library: ours and the others' programs share this file and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time

#: Of the callbacks' signatures.
SECRET = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
#: The same as it is given to those that follow Standard Webhooks.
SECRET_TEXT = "whsec_" + base64.b64encode(SECRET).decode()


def text_of(number: int) -> str:
    """Return the text of an item."""
    return f"short text number {number}"


def label_of(text: str) -> str:
    """Classify: tell even lengths from odd ones."""
    return "even" if len(text) % 2 == 0 else "odd"


def enrichment_of(text: str) -> dict[str, int]:
    """Enrich: count characters."""
    return {"characters": len(text)}


def body_of(number: int, label: str, enrichment: dict[str, int]) -> bytes:
    """Return what an item's callback says."""
    event = {"type": "item.completed", "data": {"id": number, "label": label, "enrichment": enrichment}}
    return json.dumps(event, separators=(",", ":")).encode()


def headers_of(number: int, body: bytes) -> dict[str, str]:
    """Return the headers of an item's callback, signed after Standard Webhooks."""
    name, now = f"item_{number}", str(int(time.time()))
    digest = hmac.digest(SECRET, f"{name}.{now}.".encode() + body, hashlib.sha256)
    return {
        "Content-Type": "application/json",
        "Webhook-Id": name,
        "Webhook-Timestamp": now,
        "Webhook-Signature": "v1," + base64.b64encode(digest).decode(),
    }
