"""Signs webhooks as Standard Webhooks 1.0 specifies: over `id.timestamp.body`, with every secret that is valid."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from typing import Protocol

from pipeline.crypto.hmac_key import SharedKey
from pipeline.crypto.secrets import MAX_SECRETS, PUBLIC_PREFIX, SIGNING_PREFIX, InvalidSecret, Secret, parse_secret


class SignatureKey(Protocol):
    """A key that signs."""

    version: str

    def sign(self, prefix: bytes, body: bytes) -> bytes: ...


class Signer:
    """Signs with every secret, so that receivers may use any of them.

    A secret that has expired by the time of an attempt does not sign it.

    Args:
        secrets: newest first; the signatures have the same order.

    Raises:
        InvalidSecret: there is no secret that never expires, there are more than 11, or one is invalid.
    """

    def __init__(self, secrets: Iterable[str | Secret]) -> None:
        parsed = [Secret(each) if isinstance(each, str) else each for each in secrets]
        if not parsed:
            raise InvalidSecret("no webhook secret is given; make one with `pipeline secret`")
        if len(parsed) > MAX_SECRETS:
            raise InvalidSecret(
                f"there are {len(parsed)} webhook secrets; at most {MAX_SECRETS} can sign, so remove the oldest"
            )
        if all(secret.expires_at for secret in parsed):
            raise InvalidSecret(
                "every webhook secret expires, but at least one must not; make one with `pipeline secret`"
            )
        self._keys = [
            (parse_signature_key(secret.text), secret.expires_at.timestamp() if secret.expires_at else float("inf"))
            for secret in parsed
        ]
        self._valid_keys: Sequence[SignatureKey] = ()
        self._valid_from = self._valid_until = 0.0

    def sign(self, webhook_id: str, timestamp: int, body: bytes) -> str:
        """Return the value of `webhook-signature`; `timestamp` is in seconds since 1970, UTC."""
        if not self._valid_from <= timestamp < self._valid_until:
            self._select_keys(timestamp)
        prefix = f"{webhook_id}.{timestamp}.".encode()
        return " ".join(
            f"{key.version},{base64.b64encode(key.sign(prefix, body)).decode()}" for key in self._valid_keys
        )

    def _select_keys(self, timestamp: int) -> None:
        """Cache the keys that are valid at `timestamp`, and the period in which exactly these are valid."""
        expiries = [expiry for _, expiry in self._keys]
        self._valid_keys = tuple(key for key, expiry in self._keys if expiry > timestamp)
        self._valid_from = max((expiry for expiry in expiries if expiry <= timestamp), default=0.0)
        self._valid_until = min(expiry for expiry in expiries if expiry > timestamp)


def parse_signature_key(text: str) -> SignatureKey:
    """Return the key in a `whsec_…` or `whsk_…` text; without a prefix it is read as `whsec_…`.

    Raises:
        InvalidSecret: it is not a valid key. The message never shows it.
    """
    if text.strip().startswith(SIGNING_PREFIX):
        # Imported here so that only those who use such keys wait for the library to load.
        from pipeline.crypto.ed25519_key import parse_signing_key

        return parse_signing_key(text)
    if text.strip().startswith(PUBLIC_PREFIX):
        raise InvalidSecret(
            f"a {PUBLIC_PREFIX}… key can verify but cannot sign; use the {SIGNING_PREFIX}… key it belongs to"
        )
    return SharedKey(parse_secret(text))
