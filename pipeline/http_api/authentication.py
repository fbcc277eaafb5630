"""Who makes a request: the key that it presents, remembered for seconds."""

from __future__ import annotations

import time
from collections import OrderedDict

from starlette.requests import HTTPConnection

from pipeline.access import keys
from pipeline.access.caller import LOCAL, Caller
from pipeline.access.keys import ApiKey
from pipeline.context import Context
from pipeline.domain.api_key import PREFIX, Scope, digest
from pipeline.http_api.pools import Pool
from pipeline.http_api.problems import Problem

#: How long a key is trusted without asking the database: a revoked key works for no longer.
TRUST_SECONDS = 10.0
#: Keys remembered.
_REMEMBERED = 10_000
_SCHEME = "bearer "


class Keyring:
    """The keys that were presented lately.

    Args:
        is_open: whether requests without a key are answered as long as no key exists.
    """

    def __init__(self, context: Context, pool: Pool, *, is_open: bool) -> None:
        self._context, self._pool, self._is_open = context, pool, is_open
        self._trusted: OrderedDict[str, tuple[float, Caller]] = OrderedDict()
        self._has_keys = False

    async def caller(self, connection: HTTPConnection) -> Caller:
        """Return who makes a request.

        Raises:
            Problem: no_key, key_in_url.
            BadKey, ExpiredKey, RevokedKey: the key cannot be used.
        """
        if any(value.startswith(PREFIX) for value in connection.query_params.values()):
            raise Problem(
                "key_in_url",
                "an API key is in the URL, where logs keep it; revoke it, and send the next one as "
                "`Authorization: Bearer pipe_…`",
            )
        header = connection.headers.get("authorization")
        if header is None:
            return await self._without_key()
        if not header.lower().startswith(_SCHEME):
            raise Problem("no_key", "the header Authorization has another scheme; send `Authorization: Bearer pipe_…`")
        return await self._with_key(header[len(_SCHEME) :].strip())

    async def _with_key(self, text: str) -> Caller:
        name, now = digest(text), time.monotonic()
        trusted_until, caller = self._trusted.get(name, (0.0, LOCAL))
        if now < trusted_until:
            return caller
        self._trusted.pop(name, None)
        found: ApiKey = await self._pool.run(keys.authenticate, self._context, text)
        caller = found.to_caller()
        self._trusted[name] = now + TRUST_SECONDS, caller
        while len(self._trusted) > _REMEMBERED:
            self._trusted.popitem(last=False)
        return caller

    async def is_needed(self) -> bool:
        """Return whether requests need a key: one exists, or others than this machine can connect."""
        if self._is_open and not self._has_keys:
            # A key that was created is asked for from now on; keys are never deleted.
            self._has_keys = await self._pool.run(keys.any_exists, self._context)
        return not self._is_open or self._has_keys

    async def _without_key(self) -> Caller:
        if not await self.is_needed():
            return LOCAL
        raise Problem(
            "no_key", "this needs an API key; send `Authorization: Bearer pipe_…`, made by `pipeline keys create`"
        )


def check_scope(caller: Caller, scope: Scope) -> None:
    """Raise `Problem` (scope_missing) if a caller may not do what needs a scope."""
    if scope not in caller.scopes:
        raise Problem("scope_missing", f"key {caller.key_id} has no scope {scope.value}, which this needs")


async def authenticate_stream(keyring: Keyring, connection: HTTPConnection) -> Caller:
    """Return who opens a stream, or has one open: it is asked again every few seconds.

    Raises:
        Problem, BadKey, ExpiredKey, RevokedKey: the caller may not, or no longer.
    """
    return await keyring.caller(connection)
