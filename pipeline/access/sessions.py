"""Sessions of the web page: a browser that signed in with a key presents a random cookie instead."""

from __future__ import annotations

import secrets
from datetime import timedelta

from pipeline.access import keys, sql
from pipeline.access.caller import Caller
from pipeline.context import Context
from pipeline.domain.api_key import digest

#: How long a browser stays signed in.
LIFETIME = timedelta(hours=12)
_BYTES = 32


def sign_in(context: Context, key: str) -> str:
    """Return the cookie of a new session for the holder of a key.

    Raises:
        BadKey, ExpiredKey, RevokedKey: the key cannot be used.
    """
    found = keys.authenticate(context, key)
    cookie = secrets.token_urlsafe(_BYTES)
    with context.database.write() as connection:
        sql.add_session(connection, digest(cookie), found.id, context.now() + LIFETIME)
    return cookie


def caller_of(context: Context, cookie: str) -> Caller | None:
    """Return whose session a cookie is of; None if it is over, or its key is."""
    now = context.now()
    with context.database.read() as connection:
        session = sql.find_session(connection, digest(cookie), now)
        row = None if session is None else sql.find(connection, session["key_id"])
    if row is None:
        return None
    key = keys.api_key(row)
    is_over = key.revoked_at is not None or (key.expires_at is not None and key.expires_at <= now)
    return None if is_over else key.to_caller()


def sign_out(context: Context, cookie: str) -> None:
    """End a session."""
    with context.database.write() as connection:
        sql.delete_session(connection, digest(cookie))
