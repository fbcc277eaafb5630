"""What is stored encrypted: secrets and headers of endpoints, under keys that only the environment has."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import orjson

from pipeline.crypto.secrets import decoded
from pipeline.errors import InvalidInput, PipelineError

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

_KEY_BYTES = 32
_REMEDY = "make one with `pipeline secret --encryption-key`"
_MISSING = f"PIPELINE_ENCRYPTION_KEY is not set; {_REMEDY}, and set it for every process that sends callbacks"


class InvalidEncryptionKey(InvalidInput):
    """An encryption key is not the base64 of 32 bytes."""


class CannotDecrypt(PipelineError):
    """What is stored encrypted cannot be read with the keys of this environment."""


class Encryption:
    """Seals and opens JSON with Fernet: AES and a signature over it, so that what was changed does not open.

    Args:
        keys: the newest first; it seals, any opens.

    Raises:
        InvalidEncryptionKey: one cannot be used. The message never shows it.
    """

    def __init__(self, keys: Sequence[str] = ()) -> None:
        self._keys = tuple(base64.urlsafe_b64encode(parse_encryption_key(key)) for key in keys)
        self._fernet: MultiFernet | None = None

    def seal(self, value: Any) -> str:
        """Return `value` encrypted.

        Raises:
            CannotDecrypt: there is no key.
        """
        return self._cipher().encrypt(orjson.dumps(value)).decode()

    def open(self, sealed: str) -> Any:
        """Return what was sealed.

        Raises:
            CannotDecrypt: there is no key, or none of them sealed it.
        """
        from cryptography.fernet import InvalidToken

        try:
            return orjson.loads(self._cipher().decrypt(sealed))
        except InvalidToken:
            raise CannotDecrypt(
                "it was encrypted with a key that is not among those of PIPELINE_ENCRYPTION_KEY; add that key behind "
                "the newest, separated by a space, or set the secrets and headers anew"
            ) from None

    def _cipher(self) -> MultiFernet:
        # Most environments have no key: they do not wait for the library to load.
        from cryptography.fernet import Fernet, MultiFernet

        if not self._keys:
            raise CannotDecrypt(_MISSING)
        if self._fernet is None:
            self._fernet = MultiFernet([Fernet(key) for key in self._keys])
        return self._fernet


def new_encryption_key() -> str:
    """Return a fresh key: 32 random bytes in URL-safe base64."""
    from cryptography.fernet import Fernet

    return Fernet.generate_key().decode()


def parse_encryption_key(text: str) -> bytes:
    """Return the bytes of a key: base64, URL-safe or not, of 32 bytes.

    Raises:
        InvalidEncryptionKey: it is none. The message never shows it.
    """
    key = decoded(text.replace("-", "+").replace("_", "/"))
    if key is None or len(key) != _KEY_BYTES:
        raise InvalidEncryptionKey(f"an encryption key is the base64 of {_KEY_BYTES} bytes; this one is not; {_REMEDY}")
    return key
