"""Standard Webhooks signatures over `id.timestamp.body`, by every secret that has not expired."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from typing import Protocol

from pipeline.crypto.hmac_key import SharedKey
from pipeline.crypto.secrets import MAX_SECRETS, PUBLIC_PREFIX, SIGNING_PREFIX, InvalidSecret, Secret, parse_secret


class SignatureKey(Protocol):
    """What signs."""

    version: str

    def sign(self, prefix: bytes, body: bytes) -> bytes: ...


class Signer:
    """Signs with every secret at once, in the order given, newest first: receivers may hold any of them.

    A secret that has expired at the time of an attempt does not sign it.

    Raises:
        InvalidSecret: there is no secret that never expires, there are more than 11, or one cannot be used.
    """

    def __init__(self, secrets: Iterable[str | Secret]) -> None:
        given = [Secret(each) if isinstance(each, str) else each for each in secrets]
        if not given:
            raise InvalidSecret("no webhook secret is given; make one with `pipeline secret`")
        if len(given) > MAX_SECRETS:
            raise InvalidSecret(
                f"there are {len(given)} webhook secrets; at most {MAX_SECRETS} sign, leave out the oldest"
            )
        if all(secret.expires_at for secret in given):
            raise InvalidSecret("every webhook secret expires; one must sign for good; make one with `pipeline secret`")
        self._keys = [
            (signing_key(secret.text), secret.expires_at.timestamp() if secret.expires_at else float("inf"))
            for secret in given
        ]
        self._valid: Sequence[SignatureKey] = ()
        self._valid_from = self._valid_until = 0.0

    def sign(self, webhook_id: str, timestamp: int, body: bytes) -> str:
        """Return the value of `webhook-signature`. `timestamp` is in whole seconds since 1970, UTC."""
        if not self._valid_from <= timestamp < self._valid_until:
            self._choose(timestamp)
        prefix = f"{webhook_id}.{timestamp}.".encode()
        return " ".join(f"{key.version},{base64.b64encode(key.sign(prefix, body)).decode()}" for key in self._valid)

    def _choose(self, timestamp: int) -> None:
        """Keep the keys that sign at `timestamp`, and for how long they are the ones."""
        ends = [end for _, end in self._keys]
        self._valid = tuple(key for key, end in self._keys if end > timestamp)
        self._valid_from = max((end for end in ends if end <= timestamp), default=0.0)
        self._valid_until = min(end for end in ends if end > timestamp)


def signing_key(text: str) -> SignatureKey:
    """Return the key that a `whsec_…` or `whsk_…` stands for; without a prefix it is the former.

    Raises:
        InvalidSecret: it is none. The message never shows it.
    """
    if text.strip().startswith(SIGNING_PREFIX):
        # Where nobody uses such keys, nobody waits for the library to load.
        from pipeline.crypto.ed25519_key import parse_signing

        return parse_signing(text)
    if text.strip().startswith(PUBLIC_PREFIX):
        raise InvalidSecret(f"{PUBLIC_PREFIX}… verifies and cannot sign; give the {SIGNING_PREFIX}… it belongs to")
    return SharedKey(parse_secret(text))
