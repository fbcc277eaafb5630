"""Encryption at rest, for the secrets and headers of endpoints; the keys are only in the environment."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import orjson

from pipeline.crypto.secrets import decode_base64
from pipeline.errors import InvalidInput, PipelineError

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

_KEY_BYTES = 32
_REMEDY = "make one with `pipeline secret --encryption-key`"
_MISSING = f"PIPELINE_ENCRYPTION_KEY is not set; {_REMEDY}, and set it for every process that sends callbacks"


class InvalidEncryptionKey(InvalidInput):
    """An encryption key is not the base64 of 32 bytes."""

    code = "invalid_encryption_key"


class CannotDecrypt(PipelineError):
    """Stored data cannot be decrypted with the keys in this environment, or there is no key to encrypt it with."""

    code = "cannot_decrypt"


class Encryption:
    """Encrypts and decrypts JSON values with Fernet (AES-128-CBC with HMAC-SHA256), so tampering is detected.

    Args:
        keys: newest first. The newest encrypts; any of them decrypts.

    Raises:
        InvalidEncryptionKey: one of the keys is invalid. The message never shows it.
    """

    def __init__(self, keys: Sequence[str] = ()) -> None:
        self._keys = tuple(base64.urlsafe_b64encode(parse_encryption_key(key)) for key in keys)
        self._fernet: MultiFernet | None = None

    def encrypt(self, value: Any) -> str:
        """Return `value`, encrypted.

        Raises:
            CannotDecrypt: there is no key.
        """
        return self._cipher().encrypt(orjson.dumps(value)).decode()

    def decrypt(self, token: str) -> Any:
        """Return the value that `encrypt` turned into `token`.

        Raises:
            CannotDecrypt: there is no key, or none of the keys decrypts it.
        """
        from cryptography.fernet import InvalidToken

        try:
            return orjson.loads(self._cipher().decrypt(token))
        except InvalidToken:
            raise CannotDecrypt(
                "it was encrypted with a key that is not among those in PIPELINE_ENCRYPTION_KEY; add that key after "
                "the newest, separated by a space, or set the secrets and headers again"
            ) from None

    def _cipher(self) -> MultiFernet:
        # Imported here because most environments have no key, and need not wait for the library to load.
        from cryptography.fernet import Fernet, MultiFernet

        if not self._keys:
            raise CannotDecrypt(_MISSING)
        if self._fernet is None:
            self._fernet = MultiFernet([Fernet(key) for key in self._keys])
        return self._fernet


def new_encryption_key() -> str:
    """Return a new key: 32 random bytes in URL-safe base64."""
    from cryptography.fernet import Fernet

    return Fernet.generate_key().decode()


def parse_encryption_key(text: str) -> bytes:
    """Return the 32 bytes of a key, given as base64 in either alphabet.

    Raises:
        InvalidEncryptionKey: it is not the base64 of 32 bytes. The message never shows it.
    """
    key = decode_base64(text.replace("-", "+").replace("_", "/"))
    if key is None or len(key) != _KEY_BYTES:
        raise InvalidEncryptionKey(f"an encryption key is the base64 of {_KEY_BYTES} bytes; this one is not; {_REMEDY}")
    return key
