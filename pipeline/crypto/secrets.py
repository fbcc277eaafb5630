"""Webhook secrets: `whsec_…`, which the receiver holds too, and `whsk_…`, of which it needs the public half only."""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets as random_source
from dataclasses import dataclass, field
from datetime import datetime

from pipeline.errors import InvalidInput

#: Shared: the same bytes sign and verify.
PREFIX = "whsec_"
#: Asymmetric: an Ed25519 seed and its public key; and the public key alone, for receivers.
SIGNING_PREFIX, PUBLIC_PREFIX = "whsk_", "whpk_"
#: Bytes of a decoded shared secret, as Standard Webhooks 1.0 bounds them.
MIN_SECRET_BYTES, MAX_SECRET_BYTES = 24, 64
NEW_SECRET_BYTES = 32
#: Signatures of one request at the most: the newest secret, and ten that receivers may still hold.
MAX_SECRETS = 11


class InvalidSecret(InvalidInput):
    """A webhook secret is not `whsec_` and the base64 of 24 to 64 bytes, nor a `whsk_…` or `whpk_…` key."""


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret that signs until `expires_at`; None: for good."""

    text: str = field(repr=False)
    expires_at: datetime | None = None

    def has_expired(self, now: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= now


def new_secret() -> str:
    """Return a fresh shared secret: `whsec_` and 32 random bytes in base64."""
    return PREFIX + base64.b64encode(random_source.token_bytes(NEW_SECRET_BYTES)).decode()


def parse_secret(text: str) -> bytes:
    """Return the key that a shared secret stands for; `whsec_` and the padding may be missing.

    Raises:
        InvalidSecret: it is not base64, or decodes to fewer than 24 or more than 64 bytes. The message never shows it.
    """
    key = decoded(text.strip().removeprefix(PREFIX))
    if key is None:
        raise InvalidSecret(f"a webhook secret is {PREFIX} and base64; this one is not base64; {_REMEDY}")
    if not MIN_SECRET_BYTES <= len(key) <= MAX_SECRET_BYTES:
        raise InvalidSecret(
            f"a webhook secret has {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes; this one has {len(key)}; {_REMEDY}"
        )
    return key


def fingerprint(text: str) -> str:
    """Return how a secret may be called: the first 8 hexadecimal digits of the SHA-256 of its text.

    32 bits tell apart a dozen secrets, and tell nothing of one that has at least 24 random bytes.
    """
    return hashlib.sha256(text.strip().encode()).hexdigest()[:8]


def decoded(encoded: str) -> bytes | None:
    """Return the bytes of base64 whose padding may be missing; None where it is none."""
    bare = encoded.rstrip("=")
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


_REMEDY = "make one with `pipeline secret`"
