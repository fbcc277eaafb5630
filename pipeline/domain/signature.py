"""Standard Webhooks signatures, version 1: HMAC-SHA256 over `id.timestamp.body`."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets as random_source
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from pipeline.errors import InvalidInput

PREFIX = "whsec_"
#: Bytes of a decoded secret, as Standard Webhooks 1.0 bounds them.
MIN_SECRET_BYTES, MAX_SECRET_BYTES = 24, 64
NEW_SECRET_BYTES = 32
#: Seconds a receiver's clock may differ from ours.
TOLERANCE_SECONDS = 300

_VERSION = "v1"
_LONGEST_TIMESTAMP = 12


class InvalidSecret(InvalidInput):
    """A webhook secret is not `whsec_` and the base64 of 24 to 64 bytes."""


class InvalidWebhook(InvalidInput):
    """A request is not a webhook of ours: answer it with 400 and do not act on it."""


class Signer:
    """Signs with every secret at once, newest first, so that receivers may hold any of them.

    Raises:
        InvalidSecret: there is no secret, or one cannot be used.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        self._keyed = tuple(hmac.new(parse_secret(secret), digestmod=hashlib.sha256) for secret in secrets)
        if not self._keyed:
            raise InvalidSecret("no webhook secret is given; make one with `pipeline secret`")

    def sign(self, webhook_id: str, timestamp: int, body: bytes) -> str:
        """Return the value of `webhook-signature`. `timestamp` is in whole seconds since 1970, UTC."""
        return " ".join(
            f"{_VERSION},{base64.b64encode(digest).decode()}" for digest in self.digests(webhook_id, timestamp, body)
        )

    def digests(self, webhook_id: str, timestamp: int, body: bytes) -> Iterator[bytes]:
        """Yield the raw signature of each secret, newest first."""
        signed = f"{webhook_id}.{timestamp}.".encode()
        for keyed in self._keyed:
            # A copy of the keyed state costs half of keying anew.
            state = keyed.copy()
            state.update(signed)
            state.update(body)
            yield state.digest()


def new_secret() -> str:
    """Return a fresh secret: `whsec_` and 32 random bytes in base64."""
    return PREFIX + base64.b64encode(random_source.token_bytes(NEW_SECRET_BYTES)).decode()


def parse_secret(text: str) -> bytes:
    """Return the key that a secret stands for; `whsec_` and the padding may be missing.

    Raises:
        InvalidSecret: it is not base64, or decodes to fewer than 24 or more than 64 bytes. The message never shows it.
    """
    encoded = text.strip().removeprefix(PREFIX).rstrip("=")
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidSecret(f"a webhook secret is {PREFIX} and base64; this one is not base64; {_REMEDY}") from None
    if not MIN_SECRET_BYTES <= len(key) <= MAX_SECRET_BYTES:
        raise InvalidSecret(
            f"a webhook secret has {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes; this one has {len(key)}; {_REMEDY}"
        )
    return key


_REMEDY = "make one with `pipeline secret`"


def verify_webhook(
    body: bytes,
    headers: Mapping[str, str],
    secret: str | Iterable[str],
    tolerance_seconds: float = TOLERANCE_SECONDS,
    *,
    now: float | None = None,
) -> dict[str, Any]:
    """Check a received webhook and return its event: `type`, `timestamp`, `data`.

    Args:
        body: the raw bytes of the request; JSON that was parsed and written again does not verify.
        headers: the request's headers; their names in any case.
        secret: the secret, or several of which any may have signed.
        tolerance_seconds: how far `webhook-timestamp` may lie in the past or in the future.
        now: seconds since 1970, UTC; default: this machine's clock.

    Raises:
        InvalidWebhook: a header is missing or malformed, the time is too far off, no signature fits, or the body is
            no JSON object.
        InvalidSecret: the secret cannot be used.
    """
    given = {name.lower(): value for name, value in headers.items()}
    webhook_id, timestamp = _header(given, "webhook-id"), _timestamp(_header(given, "webhook-timestamp"))
    signatures = _signatures(_header(given, "webhook-signature"))
    signer = Signer([secret] if isinstance(secret, str) else secret)
    _check_time(timestamp, time.time() if now is None else now, tolerance_seconds)
    expected = list(signer.digests(webhook_id, timestamp, body))
    if not any(hmac.compare_digest(mine, given) for mine in expected for given in signatures):
        raise InvalidWebhook(
            "no signature fits; check that the secret is the sender's and that the body is the raw bytes received"
        )
    return _event(body)


def _header(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name)
    if not value:
        raise InvalidWebhook(f"the header {name} is missing; is this request a webhook?")
    return value


def _timestamp(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_TIMESTAMP):
        raise InvalidWebhook("webhook-timestamp is not a whole number of seconds")
    return int(text)


def _check_time(timestamp: int, now: float, tolerance_seconds: float) -> None:
    late = now - timestamp
    if abs(late) > tolerance_seconds:
        when = "ago" if late > 0 else "in the future"
        raise InvalidWebhook(
            f"webhook-timestamp is {abs(late):.0f} s {when}, allowed are {tolerance_seconds:g} s; "
            "it is a replay, or a clock is wrong"
        )


def _signatures(header: str) -> list[bytes]:
    """Return the version 1 signatures; others are of other versions and are passed over."""
    found = []
    for part in header.split(" "):
        version, comma, encoded = part.partition(",")
        if version == _VERSION and comma:
            try:
                found.append(base64.b64decode(encoded.encode("ascii"), validate=True))
            except (binascii.Error, UnicodeEncodeError):
                continue
    if not found:
        raise InvalidWebhook(f"webhook-signature holds no {_VERSION} signature")
    return found


def _event(body: bytes) -> dict[str, Any]:
    try:
        event = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise InvalidWebhook("the body is signed but no JSON") from None
    if not isinstance(event, dict):
        raise InvalidWebhook("the body is signed but no JSON object")
    return event
