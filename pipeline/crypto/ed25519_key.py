"""Signatures of version 1a: Ed25519, so that receivers can verify and not sign."""

from __future__ import annotations

import base64

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from pipeline.crypto.secrets import PUBLIC_PREFIX, SIGNING_PREFIX, InvalidSecret, decoded

_SEED_BYTES = _PUBLIC_BYTES = 32
_REMEDY = "make one with `pipeline secret --asymmetric`"


class PublicKey:
    """Verifies what the other half has signed."""

    version = "v1a"

    def __init__(self, key: bytes) -> None:
        self._key = Ed25519PublicKey.from_public_bytes(key)

    def fits(self, signature: bytes, prefix: bytes, body: bytes) -> bool:
        """Say whether `signature` is one of `prefix` and `body`."""
        try:
            self._key.verify(signature, prefix + body)
        except InvalidSignature:
            return False
        return True


class SigningKey:
    """Signs; its public half verifies."""

    version = "v1a"

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)

    @property
    def public(self) -> bytes:
        return self._key.public_key().public_bytes_raw()

    def sign(self, prefix: bytes, body: bytes) -> bytes:
        return self._key.sign(prefix + body)


def new_signing_secret() -> str:
    """Return a fresh `whsk_…`: the base64 of an Ed25519 seed and its public key."""
    key = Ed25519PrivateKey.generate()
    pair = key.private_bytes_raw() + key.public_key().public_bytes_raw()
    return SIGNING_PREFIX + base64.b64encode(pair).decode()


def parse_signing(text: str) -> SigningKey:
    """Return the key of a `whsk_…`.

    Raises:
        InvalidSecret: it is not base64 of 64 bytes, or its halves do not belong together. The message never shows it.
    """
    pair = decoded(text.strip().removeprefix(SIGNING_PREFIX))
    if pair is None or len(pair) != _SEED_BYTES + _PUBLIC_BYTES:
        raise InvalidSecret(f"a signing key is {SIGNING_PREFIX} and the base64 of 64 bytes; this one is not; {_REMEDY}")
    key = SigningKey(pair[:_SEED_BYTES])
    if key.public != pair[_SEED_BYTES:]:
        raise InvalidSecret(f"the second half of a {SIGNING_PREFIX}… is not the public key of the first; {_REMEDY}")
    return key


def parse_public(text: str) -> PublicKey:
    """Return the key of a `whpk_…`.

    Raises:
        InvalidSecret: it is not base64 of 32 bytes.
    """
    key = decoded(text.strip().removeprefix(PUBLIC_PREFIX))
    if key is None or len(key) != _PUBLIC_BYTES:
        raise InvalidSecret(
            f"a public key is {PUBLIC_PREFIX} and the base64 of 32 bytes; this one is not; copy it from the sender"
        )
    return PublicKey(key)


def public_of(text: str) -> str:
    """Return the `whpk_…` that belongs to a `whsk_…`.

    Raises:
        InvalidSecret: see `parse_signing`.
    """
    return PUBLIC_PREFIX + base64.b64encode(parse_signing(text).public).decode()
