"""Create, list, revoke and rotate API keys, and find out who presents one."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pipeline.access import sql
from pipeline.access.caller import Caller
from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.domain import bounds
from pipeline.domain.api_key import PREFIX, Scope, digest, new_key, split_key
from pipeline.domain.tenant import DEFAULT_TENANT, check_tenant
from pipeline.errors import AccessDenied, Conflict, NotFound

DEFAULT_SCOPES = (Scope.READ, Scope.SUBMIT)
#: Requests per second of a key.
DEFAULT_RATE = 100.0
RATE = bounds.Number(0.001, 100_000)
NAME = bounds.Text(1, 100)
#: How long after one use the next is recorded.
_USE_RECORDED_AFTER = timedelta(minutes=1)
#: Compared with where the id is unknown, so that this takes as long as a wrong secret.
_NO_DIGEST = digest("")


class BadKey(AccessDenied):
    """The API key is mistyped or unknown."""

    code = "bad_key"


class ExpiredKey(AccessDenied):
    """The API key has expired."""

    code = "expired_key"


class RevokedKey(AccessDenied):
    """The API key was revoked."""

    code = "revoked_key"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret.

    Args:
        id: the part of the key between its underscores.
        tenant: whose batches it sees; `*`: everybody's.
        rate: requests per second.
        last_used_at: accurate to a minute.
    """

    id: str
    name: str
    tenant: str
    scopes: tuple[Scope, ...]
    rate: float
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None

    def to_caller(self) -> Caller:
        """Return who presents this key."""
        return Caller(self.id, self.name, self.tenant, frozenset(self.scopes), self.rate)


def create(
    context: Context,
    name: str,
    *,
    tenant: str = DEFAULT_TENANT,
    scopes: Sequence[Scope] = DEFAULT_SCOPES,
    rate: float = DEFAULT_RATE,
    lifetime: timedelta | None = None,
) -> str:
    """Store a new key and return it. Only its hash is kept, so this is the one time that it can be shown.

    Args:
        name: for people; need not be unique.
        lifetime: after which it expires; None: never.

    Raises:
        InvalidArgument: the name, tenant or rate cannot be used.
    """
    key = new_key()
    parts = split_key(key)
    assert parts is not None
    now = context.now()
    row = {
        "id": parts.id,
        "digest": parts.digest,
        "name": NAME.check("name", name),
        "tenant": check_tenant(tenant),
        "scopes": " ".join(scope.value for scope in Scope if scope in scopes),
        "rate": RATE.check("rate", rate),
        "created_at": now,
        "expires_at": None if lifetime is None else now + lifetime,
    }
    with context.database.write() as connection:
        sql.add(connection, row)
    return key


def every(context: Context, tenant: str | None = None) -> list[ApiKey]:
    """Return the keys of a tenant, or all keys, the oldest first."""
    with context.database.read() as connection:
        return [api_key(row) for row in sql.find_all(connection) if tenant in (None, row["tenant"])]


def any_exists(context: Context) -> bool:
    """Return whether there is a key, revoked ones included: then every request needs one."""
    with context.database.read() as connection:
        return sql.any_exists(connection)


def revoke(context: Context, key_id: str, tenant: str | None = None) -> ApiKey:
    """Revoke a key. A second call changes nothing.

    Args:
        tenant: whose keys may be revoked; None: everybody's.

    Raises:
        NotFound: there is no such key. A key of another tenant is answered in the same words.
    """
    with context.database.write() as connection:
        _stored(sql.find(connection, key_id) if key_id.isalnum() else None, key_id, tenant)
        sql.revoke(connection, key_id, context.now())
        return api_key(_stored(sql.find(connection, key_id), key_id))


def rotate(context: Context, key_id: str, *, grace: timedelta) -> str:
    """Return a new key of the same name, tenant, scopes and rate; the old one expires after `grace`.

    Raises:
        NotFound: there is no such key.
        Conflict: it was revoked.
    """
    with context.database.read() as connection:
        old = api_key(_stored(sql.find(connection, key_id), key_id))
    if old.revoked_at is not None:
        raise Conflict(f"key {key_id} was revoked; create a new one with `pipeline keys create`")
    key = create(context, old.name, tenant=old.tenant, scopes=old.scopes, rate=old.rate)
    with context.database.write() as connection:
        sql.expire(connection, key_id, context.now() + grace)
    return key


def authenticate(context: Context, text: str) -> ApiKey:
    """Return the key that a caller presents.

    Raises:
        BadKey, ExpiredKey, RevokedKey: it cannot be used.
    """
    parts = split_key(text)
    if parts is None:
        raise BadKey("the API key is mistyped or cut off: its checksum does not match; copy it again")
    with context.database.read() as connection:
        row = sql.find(connection, parts.id)
    if not hmac.compare_digest(parts.digest, _NO_DIGEST if row is None else row["digest"]) or row is None:
        raise BadKey("there is no such API key; `pipeline keys list` lists those that exist")
    now = context.now()
    key = usable(row, now)
    if key.last_used_at is None or now - key.last_used_at >= _USE_RECORDED_AFTER:
        with context.database.write() as connection:
            sql.note_use(connection, key.id, now)
    return key


def usable(row: Row, now: datetime) -> ApiKey:
    """Return the key that is stored as this row.

    Raises:
        ExpiredKey, RevokedKey: it cannot be used any more.
    """
    key = api_key(row)
    if key.revoked_at is not None:
        raise RevokedKey(f"API key {key.id} was revoked; ask for a new one")
    if key.expires_at is not None and key.expires_at <= now:
        raise ExpiredKey(f"API key {key.id} has expired; ask for a new one")
    return key


def _stored(row: Row | None, key_id: str, tenant: str | None = None) -> Row:
    if row is None or tenant not in (None, row["tenant"]):
        hint = "; give its id, not the whole key" if key_id.startswith(PREFIX) else ""
        raise NotFound(f"there is no such API key{hint}; `pipeline keys list` lists them")
    return row


def api_key(row: Row) -> ApiKey:
    """Return the key that is stored as this row."""
    scopes = tuple(Scope(name) for name in row["scopes"].split())
    return ApiKey(
        id=row["id"],
        name=row["name"],
        tenant=row["tenant"],
        scopes=scopes,
        rate=row["rate"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        last_used_at=row["last_used_at"],
    )
