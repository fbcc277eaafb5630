"""The receiver's side: check that a webhook is authentic and recent, and return its event."""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import orjson

from pipeline.crypto.hmac_key import SharedKey
from pipeline.crypto.secrets import PUBLIC_PREFIX, SIGNING_PREFIX, InvalidSecret, parse_secret
from pipeline.domain.bounds import Number, invalid
from pipeline.errors import InvalidInput

#: How far the receiver's and the sender's clocks may differ, in seconds.
TOLERANCE_SECONDS = 300

_MAX_TIMESTAMP_DIGITS = 12
# NaN is neither: every time would be within a tolerance of NaN.
_TOLERANCE, _NOW = Number(0, float("inf")), Number(0, 10.0**_MAX_TIMESTAMP_DIGITS)


class InvalidWebhook(InvalidInput):
    """A request is not an authentic, recent webhook: respond with 400 and do not act on it."""

    code = "invalid_webhook"


class VerifyingKey(Protocol):
    """A key that verifies."""

    version: str

    def verify(self, signature: bytes, prefix: bytes, body: bytes) -> bool: ...


def verify_webhook(
    body: bytes,
    headers: Mapping[str, str],
    secret: str | Iterable[str] | None,
    tolerance_seconds: float = TOLERANCE_SECONDS,
    *,
    now: float | None = None,
) -> dict[str, Any]:
    """Verify a received webhook and return its event: `type`, `timestamp`, `data`.

    Args:
        body: the raw bytes of the request. JSON that was parsed and serialized again does not verify.
        headers: the request's headers, with names in any case.
        secret: the `whsec_…` secret shared with the sender, or the `whpk_…` public key of the sender's signing key.
            Several may be passed, as a sequence or in one string separated by spaces as in `PIPELINE_WEBHOOK_SECRET`;
            one match is enough.
        tolerance_seconds: how far `webhook-timestamp` may be in the past or in the future.
        now: the current time in seconds since 1970, UTC; defaults to this machine's clock.

    Raises:
        InvalidArgument: `body` is not bytes, `headers` is not a mapping, or a number is not one.
        InvalidWebhook: a header is missing or malformed, the timestamp is too far off, no signature matches, or the
            body is not a JSON object.
        InvalidSecret: there is no secret, or one is invalid.
    """
    _check_arguments(body, headers, tolerance_seconds, now)
    lowercased = {name.lower(): value for name, value in headers.items() if isinstance(name, str)}
    webhook_id = _header(lowercased, "webhook-id")
    timestamp = _parse_timestamp(_header(lowercased, "webhook-timestamp"))
    keys = parse_verifying_keys(secret)
    signatures = _parse_signatures(_header(lowercased, "webhook-signature"), keys)
    _check_timestamp(timestamp, time.time() if now is None else now, tolerance_seconds)
    # An id that is no text, such as bytes that the framework could not decode, was signed by nobody.
    prefix = f"{webhook_id}.{timestamp}.".encode(errors="surrogatepass")
    pairs = ((key, signature) for key in keys for version, signature in signatures if version == key.version)
    if not any(key.verify(signature, prefix, body) for key, signature in pairs):
        raise InvalidWebhook(
            "no signature matches; check that the secret is the sender's and that the body is the raw bytes received"
        )
    return _parse_event(body)


def parse_verifying_keys(secrets: str | Iterable[str] | None) -> Sequence[VerifyingKey]:
    """Return the keys that verify signatures made with `secrets`: one string separated by spaces, or a sequence.

    Raises:
        InvalidSecret: there is no secret, or one is invalid.
    """
    if secrets is not None and not isinstance(secrets, Iterable):
        raise InvalidSecret(f"a webhook secret is a string; this one is of type {type(secrets).__name__}")
    keys = [_parse_key(secret) for secret in (secrets.split() if isinstance(secrets, str) else secrets or ())]
    if not keys:
        raise InvalidSecret("no webhook secret is given; pass the one that the sender signs with, or its public key")
    return keys


def _parse_key(text: object) -> VerifyingKey:
    if not isinstance(text, str):
        raise InvalidSecret(f"a webhook secret is a string; this one is of type {type(text).__name__}")
    if not text.strip().startswith((PUBLIC_PREFIX, SIGNING_PREFIX)):
        return SharedKey(parse_secret(text))
    # Imported here so that only those who use such keys wait for the library to load.
    from pipeline.crypto.ed25519_key import derive_public_key, parse_public_key

    return parse_public_key(derive_public_key(text) if text.strip().startswith(SIGNING_PREFIX) else text)


def _check_arguments(body: object, headers: object, tolerance_seconds: object, now: object) -> None:
    if not isinstance(body, bytes | bytearray | memoryview):
        raise invalid("body", body, "the raw bytes of the request")
    # The headers of some frameworks are no `Mapping`.
    if not callable(getattr(headers, "items", None)):
        raise invalid("headers", headers, "a mapping of names to values")
    _TOLERANCE.check("tolerance_seconds", tolerance_seconds)
    if now is not None:
        _NOW.check("now", now)


def _header(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name)
    if value is not None and not isinstance(value, str):
        raise InvalidWebhook(f"the header {name} is of type {type(value).__name__}; expected one text")
    if not value:
        raise InvalidWebhook(f"the header {name} is missing; is this request a webhook?")
    return value


def _parse_timestamp(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_TIMESTAMP_DIGITS):
        raise InvalidWebhook("webhook-timestamp is not a whole number of seconds")
    return int(text)


def _check_timestamp(timestamp: int, now: float, tolerance_seconds: float) -> None:
    age = now - timestamp
    if abs(age) > tolerance_seconds:
        when = "ago" if age > 0 else "in the future"
        raise InvalidWebhook(
            f"webhook-timestamp is {abs(age):.0f} s {when}, but at most {tolerance_seconds:g} s is allowed; "
            "the request is a replay, or a clock is wrong"
        )


def _parse_signatures(header: str, keys: Sequence[VerifyingKey]) -> list[tuple[str, bytes]]:
    """Return (version, bytes) of each signature whose version matches one of the keys; ignore the others."""
    versions = sorted({key.version for key in keys})
    signatures = [each for each in _decode_signatures(header) if each[0] in versions]
    if not signatures:
        raise InvalidWebhook(f"webhook-signature contains no {' or '.join(versions)} signature")
    return signatures


def _decode_signatures(header: str) -> Iterator[tuple[str, bytes]]:
    for part in header.split(" "):
        version, comma, encoded = part.partition(",")
        if comma:
            try:
                yield version, base64.b64decode(encoded.encode("ascii"), validate=True)
            except (binascii.Error, UnicodeEncodeError):
                continue


def _parse_event(body: bytes) -> dict[str, Any]:
    try:
        event = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise InvalidWebhook("the body is signed but is not JSON") from None
    if not isinstance(event, dict):
        raise InvalidWebhook("the body is signed but is not a JSON object")
    return event
