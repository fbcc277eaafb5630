"""Who makes a request: the key or the stream token that it presents, remembered for seconds."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from starlette.requests import HTTPConnection

from pipeline.access import keys, stream_tokens
from pipeline.access.caller import LOCAL, Caller
from pipeline.context import Context
from pipeline.domain.api_key import PREFIX, Scope, digest
from pipeline.errors import AccessDenied
from pipeline.http_api.pools import Pool
from pipeline.http_api.problems import Problem
from pipeline.http_api.rate_limits import FailedAttempts

#: How long a key is trusted without asking the database: a revoked key works for no longer.
TRUST_SECONDS = 10.0
#: The parameter that holds a stream token.
TOKEN_PARAMETER = "token"
#: Keys remembered.
_REMEMBERED = 10_000
_SCHEME = "bearer "
#: Parameters by which other APIs take keys.
_KEY_PARAMETERS = frozenset({"api_key", "apikey", "api-key", "access_token", "authorization"})


class Keyring:
    """The keys that were presented lately.

    Args:
        is_open: whether requests without a key are answered as long as no key exists.
        failures: counts those of each address.
        clock: the monotonic clock, in seconds.

    Attributes:
        failures: those of each address; the page counts failed sign-ins there as well.
    """

    def __init__(
        self,
        context: Context,
        pool: Pool,
        *,
        is_open: bool,
        failures: FailedAttempts | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._context, self._pool, self._is_open, self._clock = context, pool, is_open, clock
        self._trusted: OrderedDict[str, tuple[float, Caller]] = OrderedDict()
        self._has_keys = False
        self.failures = failures or FailedAttempts(clock)

    async def caller(self, connection: HTTPConnection, *, takes_token: bool = False) -> Caller:
        """Return who makes a request. A stream asks this again every few seconds.

        Args:
            takes_token: whether a stream token in the URL will do; `Caller.only_batch` says what it may read.

        Raises:
            Problem: no_key, key_in_url, too_many_failures.
            AccessDenied: the key or the token cannot be used.
        """
        _refuse_key_in_url(connection)
        header = connection.headers.get("authorization")
        token = connection.query_params.get(TOKEN_PARAMETER) if takes_token and header is None else None
        address = address_of(connection)
        if header is None and token is None:
            return await self._without_key(address)
        if header is not None and not header.lower().startswith(_SCHEME):
            raise Problem("no_key", "the header Authorization has another scheme; send `Authorization: Bearer pipe_…`")
        presented = token if header is None else header[len(_SCHEME) :].strip()
        return await self._presented(presented or "", address, is_token=header is None)

    async def _presented(self, text: str, address: str | None, *, is_token: bool) -> Caller:
        name, now = digest(text), self._clock()
        trusted_until, caller = self._trusted.get(name, (0.0, LOCAL))
        if now < trusted_until and is_token == (caller.only_batch is not None):
            return caller
        self._trusted.pop(name, None)
        self.failures.refuse_if_too_many(address)
        identify = stream_tokens.authenticate if is_token else _authenticate_key
        try:
            caller = await self._pool.run(identify, self._context, text)
        except AccessDenied:
            self.failures.note(address)
            raise
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

    async def _without_key(self, address: str | None) -> Caller:
        if not await self.is_needed():
            return LOCAL
        self.failures.refuse_if_too_many(address)
        self.failures.note(address)
        raise Problem(
            "no_key", "this needs an API key; send `Authorization: Bearer pipe_…`, made by `pipeline keys create`"
        )


def address_of(connection: HTTPConnection) -> str | None:
    """Return the address that a request comes from."""
    return None if connection.client is None else connection.client.host


def check_scope(caller: Caller, scope: Scope) -> None:
    """Raise `Problem` (scope_missing) if a caller may not do what needs a scope."""
    if scope not in caller.scopes:
        raise Problem("scope_missing", f"key {caller.key_id} has no scope {scope.value}, which this needs")


async def authenticate_stream(keyring: Keyring, connection: HTTPConnection) -> Caller:
    """Return who opens a stream, or has one open: it is asked again every few seconds.

    Raises:
        Problem, AccessDenied: the caller may not, or no longer.
    """
    return await keyring.caller(connection, takes_token=True)


def _authenticate_key(context: Context, text: str) -> Caller:
    return keys.authenticate(context, text).to_caller()


def _refuse_key_in_url(connection: HTTPConnection) -> None:
    given = connection.query_params.multi_items()
    if any(value.startswith(PREFIX) or name.lower() in _KEY_PARAMETERS for name, value in given):
        raise Problem(
            "key_in_url",
            "an API key is in the URL, where logs keep it; revoke it, and send the next one as "
            "`Authorization: Bearer pipe_…`",
        )
