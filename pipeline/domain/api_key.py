"""API keys: what they may do, and the text that a caller presents.

A key reads `pipe_` + id (10) + `_` + secret (32) + checksum (6), all base 62: secret scanners recognise it, one double
click selects it, and a mistyped key is told from an unknown one without asking the database.
"""

from __future__ import annotations

import hashlib
import secrets
import zlib
from enum import StrEnum
from typing import NamedTuple

PREFIX = "pipe_"
#: Of a stream token, which is not a key: it may stand in a URL.
TOKEN_PREFIX = "pipes_"
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CHARACTERS = frozenset(_ALPHABET)
_ID_LENGTH, _SECRET_LENGTH, _CHECKSUM_LENGTH = 10, 32, 6


class Scope(StrEnum):
    """What a key may do. No scope includes another."""

    #: See batches, items, results, deliveries, endpoints and definitions, without payloads.
    READ = "read"
    #: See payloads as well.
    PAYLOADS = "payloads"
    #: Submit batches and store definitions.
    SUBMIT = "submit"
    #: Pause, resume, cancel, replay, and enable or disable endpoints.
    OPERATE = "operate"
    #: Configure endpoints, manage keys, and submit definitions that run code, read files or call services.
    ADMIN = "admin"


class KeyParts(NamedTuple):
    """The id of a key, and the digest that is stored of the whole."""

    id: str
    digest: str


def new_key() -> str:
    """Return a new key: 190 random bits."""
    text = f"{PREFIX}{_random(_ID_LENGTH)}_{_random(_SECRET_LENGTH)}"
    return text + _checksum(text)


def new_stream_token() -> str:
    """Return a new stream token: 190 random bits."""
    return TOKEN_PREFIX + _random(_SECRET_LENGTH)


def split_key(text: str) -> KeyParts | None:
    """Return the parts of a key, or None if the text is not one: mistyped, cut off, or something else."""
    if not has_key_form(text) or _checksum(text[:-_CHECKSUM_LENGTH]) != text[-_CHECKSUM_LENGTH:]:
        return None
    return KeyParts(text[len(PREFIX) : len(PREFIX) + _ID_LENGTH], digest(text))


def has_key_form(text: str) -> bool:
    """Return whether a text has the length and the characters of a key, whatever its checksum."""
    identity, separator, rest = text.removeprefix(PREFIX).partition("_")
    return (
        text.startswith(PREFIX)
        and bool(separator)
        and len(identity) == _ID_LENGTH
        and len(rest) == _SECRET_LENGTH + _CHECKSUM_LENGTH
        and _CHARACTERS.issuperset(identity + rest)
    )


def digest(secret: str) -> str:
    """Return what is stored of a random secret: its SHA-256 in hexadecimal."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _checksum(text: str) -> str:
    """Return the CRC-32 of a text in base 62, with leading zeros."""
    number, digits = zlib.crc32(text.encode()), ""
    for _ in range(_CHECKSUM_LENGTH):
        number, digit = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
