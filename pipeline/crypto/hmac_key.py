"""Version 1 signatures of Standard Webhooks: HMAC-SHA256 with a secret that sender and receiver share."""

from __future__ import annotations

import hashlib
import hmac


class SharedKey:
    """A shared secret; signs and verifies."""

    version = "v1"

    def __init__(self, key: bytes) -> None:
        self._keyed = hmac.new(key, digestmod=hashlib.sha256)

    def sign(self, prefix: bytes, body: bytes) -> bytes:
        """Return the signature of `prefix + body`."""
        # Copying the keyed state costs half as much as keying again.
        state = self._keyed.copy()
        state.update(prefix)
        state.update(body)
        return state.digest()

    def verify(self, signature: bytes, prefix: bytes, body: bytes) -> bool:
        """Return whether `signature` is valid for `prefix + body`, comparing in constant time."""
        return hmac.compare_digest(self.sign(prefix, body), signature)
