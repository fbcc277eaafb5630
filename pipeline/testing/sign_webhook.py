"""Signed requests, for tests of a receiver."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from pipeline.crypto.signer import Signer
from pipeline.domain.ids import new_bundle_id

#: Signs in tests. It is public, so it proves nothing: never use it elsewhere.
TEST_SECRET = "whsec_cGlwZWxpbmUudGVzdGluZzogbm90IGEgc2VjcmV0IQ=="


def sign_webhook(
    body: bytes,
    secret: str | Iterable[str] = TEST_SECRET,
    *,
    webhook_id: str | None = None,
    timestamp: datetime | None = None,
    attempt: int = 1,
) -> dict[str, str]:
    """Return the headers of a callback with this body, as pipeline sends them.

    Args:
        body: The bytes that the request will have.
        secret: `whsec_…` or `whsk_…`. Several, separated by spaces or as a sequence: all sign.
        webhook_id: The event's id; None: a fresh one. Use it again to send the same event once more.
        timestamp: When the request is sent, an aware datetime; None: now.
        attempt: The number of this attempt, from 1.

    Raises:
        InvalidSecret: A secret cannot be used.
    """
    secrets = secret.split() if isinstance(secret, str) else list(secret)
    id_ = new_bundle_id() if webhook_id is None else webhook_id
    seconds = int((datetime.now(UTC) if timestamp is None else timestamp).timestamp())
    return {
        "content-type": "application/json",
        "webhook-id": id_,
        "webhook-timestamp": str(seconds),
        "webhook-signature": Signer(secrets).sign(id_, seconds, body),
        "webhook-attempt": str(attempt),
    }
