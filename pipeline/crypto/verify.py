"""What a receiver does: check that a webhook is its sender's and recent, and read it."""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import orjson

from pipeline.crypto.hmac_key import SharedKey
from pipeline.crypto.secrets import PUBLIC_PREFIX, SIGNING_PREFIX, InvalidSecret, parse_secret
from pipeline.errors import InvalidInput

#: Seconds a receiver's clock may differ from ours.
TOLERANCE_SECONDS = 300

_LONGEST_TIMESTAMP = 12


class InvalidWebhook(InvalidInput):
    """A request is not a webhook of ours: answer it with 400 and do not act on it."""


class VerifyingKey(Protocol):
    """What verifies."""

    version: str

    def fits(self, signature: bytes, prefix: bytes, body: bytes) -> bool: ...


def verify_webhook(
    body: bytes,
    headers: Mapping[str, str],
    secret: str | Iterable[str] | None,
    tolerance_seconds: float = TOLERANCE_SECONDS,
    *,
    now: float | None = None,
) -> dict[str, Any]:
    """Check a received webhook and return its event: `type`, `timestamp`, `data`.

    Args:
        body: the raw bytes of the request; JSON that was parsed and written again does not verify.
        headers: the request's headers; their names in any case.
        secret: the `whsec_…` that the sender has too, or the `whpk_…` of the key it signs with. Several, in one text
            separated by spaces as in `PIPELINE_WEBHOOK_SECRET`, or as a sequence: any may fit.
        tolerance_seconds: how far `webhook-timestamp` may lie in the past or in the future.
        now: seconds since 1970, UTC; default: this machine's clock.

    Raises:
        InvalidWebhook: a header is missing or malformed, the time is too far off, no signature fits, or the body is
            no JSON object.
        InvalidSecret: there is no secret, or it cannot be used.
    """
    given = {name.lower(): value for name, value in headers.items()}
    webhook_id, timestamp = _header(given, "webhook-id"), _timestamp(_header(given, "webhook-timestamp"))
    keys = verifying_keys(secret)
    signatures = _signatures(_header(given, "webhook-signature"), keys)
    _check_time(timestamp, time.time() if now is None else now, tolerance_seconds)
    prefix = f"{webhook_id}.{timestamp}.".encode()
    pairs = ((key, signature) for key in keys for version, signature in signatures if version == key.version)
    if not any(key.fits(signature, prefix, body) for key, signature in pairs):
        raise InvalidWebhook(
            "no signature fits; check that the secret is the sender's and that the body is the raw bytes received"
        )
    return _event(body)


def verifying_keys(secrets: str | Iterable[str] | None) -> Sequence[VerifyingKey]:
    """Return what verifies for each secret, given in one text separated by spaces, or each by itself.

    Raises:
        InvalidSecret: there is none, or one cannot be used.
    """
    keys = [_key(secret) for secret in (secrets.split() if isinstance(secrets, str) else secrets or ())]
    if not keys:
        raise InvalidSecret("no webhook secret is given; a webhook is verified with the one its sender has")
    return keys


def _key(text: object) -> VerifyingKey:
    if not isinstance(text, str):
        raise InvalidSecret(f"a webhook secret is a text; this one is of type {type(text).__name__}")
    if not text.strip().startswith((PUBLIC_PREFIX, SIGNING_PREFIX)):
        return SharedKey(parse_secret(text))
    # Where nobody uses such keys, nobody waits for the library to load.
    from pipeline.crypto.ed25519_key import parse_public, public_of

    return parse_public(public_of(text) if text.strip().startswith(SIGNING_PREFIX) else text)


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


def _signatures(header: str, keys: Sequence[VerifyingKey]) -> list[tuple[str, bytes]]:
    """Return version and bytes of the signatures that one of the keys could have made; others are passed over."""
    versions = sorted({key.version for key in keys})
    found = [each for each in _decoded(header) if each[0] in versions]
    if not found:
        raise InvalidWebhook(f"webhook-signature holds no {' or '.join(versions)} signature")
    return found


def _decoded(header: str) -> Iterator[tuple[str, bytes]]:
    for part in header.split(" "):
        version, comma, encoded = part.partition(",")
        if comma:
            try:
                yield version, base64.b64decode(encoded.encode("ascii"), validate=True)
            except (binascii.Error, UnicodeEncodeError):
                continue


def _event(body: bytes) -> dict[str, Any]:
    try:
        event = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise InvalidWebhook("the body is signed but no JSON") from None
    if not isinstance(event, dict):
        raise InvalidWebhook("the body is signed but no JSON object")
    return event
