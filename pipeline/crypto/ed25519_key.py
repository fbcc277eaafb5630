"""Version 1a signatures of Standard Webhooks: Ed25519, so that receivers can verify but not sign."""

from __future__ import annotations

import base64

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from pipeline.crypto.secrets import PUBLIC_PREFIX, SIGNING_PREFIX, InvalidSecret, decode_base64

_SEED_BYTES = _PUBLIC_BYTES = 32
_REMEDY = "make one with `pipeline secret --asymmetric`"


class PublicKey:
    """An Ed25519 public key; verifies what the signing key has signed."""

    version = "v1a"

    def __init__(self, key: bytes) -> None:
        self._key = Ed25519PublicKey.from_public_bytes(key)

    def verify(self, signature: bytes, prefix: bytes, body: bytes) -> bool:
        """Return whether `signature` is valid for `prefix + body`."""
        try:
            self._key.verify(signature, prefix + body)
        except InvalidSignature:
            return False
        return True


class SigningKey:
    """An Ed25519 private key; signs."""

    version = "v1a"

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)

    @property
    def public_bytes(self) -> bytes:
        """The 32 raw bytes of the public key."""
        return self._key.public_key().public_bytes_raw()

    def sign(self, prefix: bytes, body: bytes) -> bytes:
        """Return the signature of `prefix + body`."""
        return self._key.sign(prefix + body)


def new_signing_secret() -> str:
    """Return a new `whsk_…` key: the base64 of an Ed25519 seed followed by its public key."""
    key = Ed25519PrivateKey.generate()
    pair = key.private_bytes_raw() + key.public_key().public_bytes_raw()
    return SIGNING_PREFIX + base64.b64encode(pair).decode()


def parse_signing_key(text: str) -> SigningKey:
    """Return the signing key in a `whsk_…` text.

    Raises:
        InvalidSecret: it is not the base64 of 64 bytes, or its halves do not match. The message never shows it.
    """
    pair = decode_base64(text.strip().removeprefix(SIGNING_PREFIX))
    if pair is None or len(pair) != _SEED_BYTES + _PUBLIC_BYTES:
        raise InvalidSecret(
            f"a signing key is {SIGNING_PREFIX} followed by the base64 of 64 bytes; this one is not; {_REMEDY}"
        )
    key = SigningKey(pair[:_SEED_BYTES])
    if key.public_bytes != pair[_SEED_BYTES:]:
        raise InvalidSecret(
            f"the second half of a {SIGNING_PREFIX}… key is not the public key of the first half; {_REMEDY}"
        )
    return key


def parse_public_key(text: str) -> PublicKey:
    """Return the public key in a `whpk_…` text.

    Raises:
        InvalidSecret: it is not the base64 of 32 bytes.
    """
    key = decode_base64(text.strip().removeprefix(PUBLIC_PREFIX))
    if key is None or len(key) != _PUBLIC_BYTES:
        raise InvalidSecret(
            f"a public key is {PUBLIC_PREFIX} followed by the base64 of 32 bytes; this one is not; "
            "copy it from the sender"
        )
    return PublicKey(key)


def derive_public_key(text: str) -> str:
    """Return the `whpk_…` text of the public key that belongs to a `whsk_…` key.

    Raises:
        InvalidSecret: see `parse_signing_key`.
    """
    return PUBLIC_PREFIX + base64.b64encode(parse_signing_key(text).public_bytes).decode()
