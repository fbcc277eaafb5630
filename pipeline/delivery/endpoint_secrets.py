"""Secrets and headers that endpoints have of their own: set, rotated, described; never shown again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from pipeline.context import Context
from pipeline.crypto.ed25519_key import new_signing_secret, public_of
from pipeline.crypto.encryption import CannotDecrypt, Encryption
from pipeline.crypto.secrets import SIGNING_PREFIX, Secret, fingerprint, new_secret
from pipeline.crypto.signer import Signer
from pipeline.database.row import Row
from pipeline.delivery.rules.credentials import Credentials, Sealed, rotated, seal_headers, seal_secrets
from pipeline.delivery.rules.headers import check_headers
from pipeline.delivery.sql import credentials as storage
from pipeline.domain.callback_url import check_callback_url
from pipeline.errors import InvalidInput, NotFound

#: Seconds that secrets sign beside the one that takes their place.
DEFAULT_GRACE_SECONDS, LONGEST_GRACE_SECONDS = 86_400, 604_800


@dataclass(frozen=True, slots=True)
class KnownSecret:
    """A secret as it may be shown.

    Args:
        public_key: `whpk_…`, with which receivers verify; None for a shared secret.
        expires_at: when it signs no more; None: for good.
        fingerprint: the first 8 hexadecimal digits of the SHA-256 of the secret as it was shown.
    """

    public_key: str | None
    expires_at: datetime | None
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Described:
    """What an endpoint has of its own, without anything that must not be shown.

    Args:
        secrets: that sign, newest first; none: those of the settings do.
        headers: names only.
        locked: why it cannot be read here; nothing is sent to the endpoint by a process that cannot read it.
    """

    origin: str
    secrets: tuple[KnownSecret, ...] = ()
    headers: tuple[str, ...] = ()
    locked: str | None = None


def rotate(
    context: Context,
    origin: str,
    *,
    grace_seconds: float = DEFAULT_GRACE_SECONDS,
    asymmetric: bool = False,
    secret: str | None = None,
) -> str:
    """Give an endpoint a new secret and return it: the only time it is shown.

    The first takes the place of the settings' secrets, at this endpoint. What signed until now signs as well until
    `grace_seconds` are over, so that the receiver can change over meanwhile; 0: it signs no more from now on.

    Args:
        origin: the endpoint, `https://example.com`, or a URL of it.
        asymmetric: make a `whsk_…`; the receiver needs its public half only.
        secret: one of your own instead of a new one.

    Raises:
        InvalidInput: the grace is not between 0 and 7 days, or the secret or the origin cannot be used.
        CannotDecrypt: no key to encrypt it, or the present ones cannot be read; `forget` starts anew.
    """
    if not 0 <= grace_seconds <= LONGEST_GRACE_SECONDS:
        raise InvalidInput(f"grace_seconds is {grace_seconds:g}; it is between 0 and {LONGEST_GRACE_SECONDS} (7 days)")
    newest = secret.strip() if secret else new_signing_secret() if asymmetric else new_secret()
    Signer([newest])
    grace = timedelta(seconds=grace_seconds)

    def change(sealed: Sealed, vault: Encryption) -> dict[str, str | None]:
        before = sealed.open_secrets(vault) or tuple(map(Secret, context.settings.secrets))
        secrets = rotated(newest, before, context.now(), grace)
        return {"secrets": seal_secrets(vault, sealed.origin, secrets)}

    where = _origin(context, origin)
    with context.database.write() as connection:
        _change(connection, context, where, change)
    return newest


def set_headers(context: Context, origin: str, headers: Mapping[str, str | None]) -> None:
    """Add headers to every request to an endpoint, from its next attempt on; None takes one away, others stay.

    Raises:
        InvalidHeader, InvalidInput: a header or the origin cannot be used.
        CannotDecrypt: no key to encrypt them, or the present ones cannot be read; `forget` starts anew.
    """
    where = _origin(context, origin)
    with context.database.write() as connection:
        change_headers(connection, context, where, headers)


def change_headers(connection: Connection, context: Context, origin: str, headers: Mapping[str, str | None]) -> None:
    """The same, in a transaction that is open; `origin` is one."""
    wanted = check_headers({name: value for name, value in headers.items() if value is not None})
    unwanted = {name.lower() for name, value in headers.items() if value is None}

    def change(sealed: Sealed, vault: Encryption) -> dict[str, str | None]:
        kept = {name: value for name, value in sealed.open_headers(vault).items() if name not in unwanted}
        return {"headers": seal_headers(vault, sealed.origin, check_headers(kept | wanted))}

    _change(connection, context, origin, change)


def forget(context: Context, origin: str) -> None:
    """Drop an endpoint's own secrets and headers, readable or not: those of the settings sign again, and alone.

    Raises:
        NotFound: it has none.
    """
    where, now = _origin(context, origin), context.now()
    with context.database.write() as connection:
        row = storage.take(connection, where, now)
        if row["secrets"] is None and row["headers"] is None:
            raise NotFound(
                f"the endpoint {where} has no secrets or headers of its own; "
                f"`pipeline endpoints show {where}` says what it has"
            )
        storage.store(connection, where, now, {"secrets": None, "headers": None})


def reseal(context: Context) -> int:
    """Encrypt everything under the newest key, so that the older ones can be left out. Return how many endpoints.

    Raises:
        CannotDecrypt: something cannot be read; nothing is changed.
    """
    vault = Encryption(context.settings.encryption_keys)
    with context.database.write() as connection:
        found = storage.known(connection)
        for row in found:
            sealed = Sealed(**storage.take(connection, row["origin"], context.now()))
            storage.store(connection, sealed.origin, context.now(), _resealed(sealed, vault))
    return len(found)


def credentials(context: Context, origin: str) -> Credentials | None:
    """Return what requests to an endpoint prove themselves with; None where it has nothing of its own.

    Raises:
        CannotDecrypt: the keys of this environment do not open it.
        InvalidSecret: a secret cannot be used.
    """
    with context.database.read() as connection:
        row = storage.get(connection, origin)
    return None if row is None else Sealed(**row).open(Encryption(context.settings.encryption_keys))


def describe(context: Context, origin: str) -> Described:
    """Return what an endpoint has of its own."""
    where = _origin(context, origin)
    with context.database.read() as connection:
        row = storage.get(connection, where)
    return Described(where) if row is None else described(row, context)


def describe_all(context: Context) -> list[Described]:
    """Return what endpoints have of their own, by origin; those that have nothing are left out."""
    with context.database.read() as connection:
        return [described(row, context) for row in storage.known(connection)]


def described(row: Row, context: Context) -> Described:
    """Return what an endpoint's row holds of its own."""
    sealed, vault = Sealed(row["origin"], row["secrets"], row["headers"]), Encryption(context.settings.encryption_keys)
    try:
        secrets, headers = sealed.open_secrets(vault), sealed.open_headers(vault)
    except CannotDecrypt as error:
        return Described(sealed.origin, locked=str(error))
    shown = tuple(_known(each) for each in secrets if not each.has_expired(context.now()))
    return Described(sealed.origin, shown, tuple(sorted(headers)))


def _change(
    connection: Connection, context: Context, origin: str, change: Callable[[Sealed, Encryption], dict[str, str | None]]
) -> None:
    vault, now = Encryption(context.settings.encryption_keys), context.now()
    sealed = Sealed(**storage.take(connection, origin, now))
    storage.store(connection, origin, now, change(sealed, vault))


def _origin(context: Context, text: str) -> str:
    return check_callback_url(text, context.settings.allow_private_callbacks, name="the endpoint").origin


def _resealed(sealed: Sealed, vault: Encryption) -> dict[str, str | None]:
    return {
        "secrets": seal_secrets(vault, sealed.origin, sealed.open_secrets(vault)),
        "headers": seal_headers(vault, sealed.origin, sealed.open_headers(vault)),
    }


def _known(secret: Secret) -> KnownSecret:
    public_key = public_of(secret.text) if secret.text.startswith(SIGNING_PREFIX) else None
    return KnownSecret(public_key, secret.expires_at, fingerprint(secret.text))
