"""Webhook secrets: `whsec_…`, shared with the receiver, and `whsk_…`, whose public key is enough for the receiver."""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets as random_source
from dataclasses import dataclass, field
from datetime import datetime

from pipeline.errors import InvalidInput

#: A shared secret: the same bytes sign and verify.
SHARED_PREFIX = "whsec_"
#: An Ed25519 seed with its public key, for the sender; and the public key alone, for receivers.
SIGNING_PREFIX, PUBLIC_PREFIX = "whsk_", "whpk_"
#: Size of a decoded shared secret; the bounds are those of Standard Webhooks 1.0.
MIN_SECRET_BYTES, MAX_SECRET_BYTES = 24, 64
NEW_SECRET_BYTES = 32
#: Limit of signatures in one request: by the newest secret, and by ten older ones that receivers may still use.
MAX_SECRETS = 11


class InvalidSecret(InvalidInput):
    """A webhook secret is neither `whsec_` with the base64 of 24 to 64 bytes, nor a `whsk_…` or `whpk_…` key."""

    code = "invalid_secret"


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret that signs until `expires_at`; without it, forever."""

    text: str = field(repr=False)
    expires_at: datetime | None = None

    def has_expired(self, now: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= now


def new_secret() -> str:
    """Return a new shared secret: `whsec_` and the base64 of 32 random bytes."""
    return SHARED_PREFIX + base64.b64encode(random_source.token_bytes(NEW_SECRET_BYTES)).decode()


def parse_secret(text: str) -> bytes:
    """Return the key in a shared secret; the `whsec_` prefix and the padding may be missing.

    Raises:
        InvalidSecret: it is not base64, or decodes to fewer than 24 or more than 64 bytes. The message never shows it.
    """
    key = decode_base64(text.strip().removeprefix(SHARED_PREFIX))
    if key is None:
        raise InvalidSecret(f"a webhook secret is {SHARED_PREFIX} followed by base64; this one is not; {_REMEDY}")
    if not MIN_SECRET_BYTES <= len(key) <= MAX_SECRET_BYTES:
        raise InvalidSecret(
            f"a webhook secret has {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes; this one has {len(key)}; {_REMEDY}"
        )
    return key


def fingerprint(text: str) -> str:
    """Return a public name for a secret: the first 8 hexadecimal digits of the SHA-256 of its text.

    32 bits distinguish a dozen secrets, and reveal nothing about one of at least 24 random bytes.
    """
    return hashlib.sha256(text.strip().encode()).hexdigest()[:8]


def decode_base64(text: str) -> bytes | None:
    """Return the decoded bytes, or None if `text` is not base64. The padding may be missing."""
    unpadded = text.rstrip("=")
    try:
        return base64.b64decode(unpadded + "=" * (-len(unpadded) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


_REMEDY = "make one with `pipeline secret`"
