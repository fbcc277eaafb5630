"""Signatures of version 1: HMAC-SHA256 with a secret that sender and receiver share."""

from __future__ import annotations

import hashlib
import hmac


class SharedKey:
    """Signs and verifies."""

    version = "v1"

    def __init__(self, key: bytes) -> None:
        self._keyed = hmac.new(key, digestmod=hashlib.sha256)

    def sign(self, prefix: bytes, body: bytes) -> bytes:
        # A copy of the keyed state costs half of keying anew.
        state = self._keyed.copy()
        state.update(prefix)
        state.update(body)
        return state.digest()

    def fits(self, signature: bytes, prefix: bytes, body: bytes) -> bool:
        """Say whether `signature` is one of `prefix` and `body`, in the same time whatever it is."""
        return hmac.compare_digest(self.sign(prefix, body), signature)
