"""Set, rotate and describe the secrets and headers of single endpoints. A secret is shown once, when it is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from pipeline.context import Context
from pipeline.crypto.ed25519_key import derive_public_key, new_signing_secret
from pipeline.crypto.encryption import CannotDecrypt, Encryption
from pipeline.crypto.secrets import SIGNING_PREFIX, Secret, fingerprint, new_secret
from pipeline.crypto.signer import Signer
from pipeline.database.row import Row
from pipeline.delivery.rules.credentials import Credentials, Sealed, rotated, seal_headers, seal_secrets
from pipeline.delivery.rules.headers import check_headers
from pipeline.delivery.sql import credentials as storage
from pipeline.domain.bounds import TEXT, Number
from pipeline.errors import NotFound

#: Seconds during which replaced secrets still sign.
DEFAULT_GRACE_SECONDS, MAX_GRACE_SECONDS = 86_400, 604_800
_GRACE_SECONDS = Number(0, MAX_GRACE_SECONDS)


@dataclass(frozen=True, slots=True)
class KnownSecret:
    """What may be shown of a secret.

    Args:
        public_key: `whpk_…`, with which receivers verify; None for a shared secret.
        expires_at: when it stops signing; None: never.
        fingerprint: first 8 hexadecimal digits of the SHA-256 of the secret's text.
    """

    public_key: str | None
    expires_at: datetime | None
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Described:
    """What may be shown of an endpoint's secrets and headers.

    Args:
        secrets: active secrets, newest first; empty if those of the settings sign.
        headers: names of the headers.
        locked: why they cannot be decrypted here. A process that cannot decrypt them sends nothing to the endpoint.
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
    check: Callable[[Connection], None] | None = None,
) -> str:
    """Give an endpoint a new secret and return it. It is never shown again.

    An endpoint's first secret replaces those of the settings at this endpoint. Replaced secrets still sign for
    `grace_seconds`, so that the receiver can switch over; with 0 they stop at once.

    Args:
        origin: the endpoint, `https://example.com` or any URL there.
        grace_seconds: from 0 to 7 days.
        asymmetric: create a `whsk_…` key pair; the receiver needs only the public half.
        secret: use this secret instead of a new one.
        check: called before anything changes; raises to refuse the change.

    Raises:
        InvalidInput: the grace period, the secret or the origin is invalid.
        CannotDecrypt: there is no key to encrypt it, or the present secrets cannot be decrypted; `forget` removes them.
    """
    _GRACE_SECONDS.check("grace_seconds", grace_seconds)
    if secret is None:
        newest = new_signing_secret() if asymmetric else new_secret()
    else:
        newest = TEXT.check("secret", secret).strip()
    Signer([newest])
    grace = timedelta(seconds=grace_seconds)

    def change(sealed: Sealed, vault: Encryption) -> dict[str, str | None]:
        before = sealed.open_secrets(vault) or tuple(map(Secret, context.settings.secrets))
        secrets = rotated(newest, before, context.now(), grace)
        return {"secrets": seal_secrets(vault, sealed.origin, secrets)}

    where = _origin(context, origin)
    with context.database.write() as connection:
        if check is not None:
            check(connection)
        _change(connection, context, where, change)
    return newest


def set_headers(context: Context, origin: str, headers: Mapping[str, str | None]) -> None:
    """Add headers to every request to an endpoint, from its next attempt on. None removes a header; others stay.

    Raises:
        InvalidHeader, InvalidInput: a header or the origin is invalid.
        CannotDecrypt: there is no key to encrypt them, or the present headers cannot be decrypted; `forget` removes
            them.
    """
    where = _origin(context, origin)
    with context.database.write() as connection:
        change_headers(connection, context, where, headers)


def change_headers(connection: Connection, context: Context, origin: str, headers: Mapping[str, str | None]) -> None:
    """Add headers as `set_headers` does, in an open transaction; `origin` must be normalized."""
    wanted = check_headers({name: value for name, value in headers.items() if value is not None})
    unwanted = {name.lower() for name, value in headers.items() if value is None}

    def change(sealed: Sealed, vault: Encryption) -> dict[str, str | None]:
        kept = {name: value for name, value in sealed.open_headers(vault).items() if name not in unwanted}
        return {"headers": seal_headers(vault, sealed.origin, check_headers(kept | wanted))}

    _change(connection, context, origin, change)


def forget(context: Context, origin: str) -> None:
    """Remove an endpoint's secrets and headers, even if they cannot be decrypted. The settings' secrets sign again.

    The endpoint is everybody's again.

    Raises:
        NotFound: it has neither.
    """
    where, now = _origin(context, origin), context.now()
    with context.database.write() as connection:
        row = storage.lock(connection, where, now)
        if row["secrets"] is None and row["headers"] is None:
            raise NotFound(f"the endpoint {where} has no secrets or headers; see `pipeline endpoints show {where}`")
        storage.store(connection, where, now, {"secrets": None, "headers": None, "tenant": None})


def reseal(context: Context) -> int:
    """Re-encrypt everything with the newest key, so that older keys can be removed. Return the number of endpoints.

    Raises:
        CannotDecrypt: something cannot be decrypted; nothing is changed.
    """
    vault = Encryption(context.settings.encryption_keys)
    with context.database.write() as connection:
        found = storage.find_all(connection)
        for row in found:
            sealed = Sealed(**storage.lock(connection, row["origin"], context.now()))
            storage.store(connection, sealed.origin, context.now(), _resealed(sealed, vault))
    return len(found)


def credentials(context: Context, origin: str) -> Credentials | None:
    """Return the credentials of an endpoint; None if it has none.

    Raises:
        CannotDecrypt: the keys of this environment cannot decrypt them.
        InvalidSecret: a secret is invalid.
    """
    with context.database.read() as connection:
        row = storage.get(connection, origin)
    return None if row is None else Sealed(**row).open(Encryption(context.settings.encryption_keys))


def describe(context: Context, origin: str) -> Described:
    """Describe the secrets and headers of an endpoint."""
    where = _origin(context, origin)
    with context.database.read() as connection:
        row = storage.get(connection, where)
    return Described(where) if row is None else described(row, context)


def describe_all(context: Context) -> list[Described]:
    """Describe the secrets and headers of every endpoint that has any, by origin."""
    with context.database.read() as connection:
        return [described(row, context) for row in storage.find_all(connection)]


def described(row: Row, context: Context) -> Described:
    """Describe the secrets and headers in an endpoint's row."""
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
    sealed = Sealed(**storage.lock(connection, origin, now))
    storage.store(connection, origin, now, change(sealed, vault))


def _origin(context: Context, text: str) -> str:
    return context.destinations.check_endpoint(text).origin


def _resealed(sealed: Sealed, vault: Encryption) -> dict[str, str | None]:
    return {
        "secrets": seal_secrets(vault, sealed.origin, sealed.open_secrets(vault)),
        "headers": seal_headers(vault, sealed.origin, sealed.open_headers(vault)),
    }


def _known(secret: Secret) -> KnownSecret:
    public_key = derive_public_key(secret.text) if secret.text.startswith(SIGNING_PREFIX) else None
    return KnownSecret(public_key, secret.expires_at, fingerprint(secret.text))
