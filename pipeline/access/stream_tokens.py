"""Stream tokens: short-lived credentials for one batch, since a browser's `EventSource` cannot send a header."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pipeline.access import keys, sql, token_sql
from pipeline.access.caller import LOCAL, Caller
from pipeline.context import Context
from pipeline.domain.api_key import TOKEN_PREFIX, Scope, digest, new_stream_token
from pipeline.errors import AccessDenied

#: How long a token can be used, at most.
MAX_LIFETIME = timedelta(hours=1)
#: Expired ones removed whenever one is created: their number stays that of the hour, also where nothing is pruned.
_REMOVED = 1_000


class BadToken(AccessDenied):
    """The stream token is unknown, or has expired."""

    code = "bad_token"


@dataclass(frozen=True, slots=True)
class StreamToken:
    """A new token. Only its hash is kept, so this is the one time that it can be shown."""

    text: str
    expires_at: datetime


def create(context: Context, caller: Caller, batch_id: int, lifetime: timedelta) -> StreamToken:
    """Create a token that reads one batch for a while, as long as the caller's key can be used.

    Args:
        batch_id: the row id of the batch, which the caller may see.
    """
    now = context.now()
    token = StreamToken(new_stream_token(), now + min(lifetime, MAX_LIFETIME))
    row = {
        "digest": digest(token.text),
        "key_id": caller.key_id,
        "batch_id": batch_id,
        "expires_at": token.expires_at,
    }
    with context.database.write() as connection:
        token_sql.delete_expired(connection, now, _REMOVED)
        token_sql.add(connection, row)
    return token


def authenticate(context: Context, text: str) -> Caller:
    """Return who presents a token: its creator, who can read one batch.

    Raises:
        BadToken: it is unknown, or has expired.
        ExpiredKey, RevokedKey: the key that created it cannot be used any more.
    """
    now = context.now()
    with context.database.read() as connection:
        row = token_sql.find(connection, digest(text)) if text.startswith(TOKEN_PREFIX) else None
        key = None if row is None or row["key_id"] is None else sql.find(connection, row["key_id"])
        # Without a key it was created on a loopback where no key existed.
        is_needed = row is not None and row["key_id"] is None and sql.any_exists(connection)
    if row is None or row["expires_at"] <= now or is_needed:
        raise BadToken("the stream token is unknown or has expired; make another with POST /v1/stream-tokens")
    creator = LOCAL if key is None else keys.usable(key, now).to_caller()
    return replace(creator, scopes=creator.scopes & {Scope.READ}, only_batch=row["batch_id"])
