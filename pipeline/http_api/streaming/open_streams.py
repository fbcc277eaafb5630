"""Which streams are open, for whom, and why one of them is to end."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from starlette.requests import HTTPConnection

from pipeline.access.caller import Caller
from pipeline.domain.api_key import Scope
from pipeline.errors import AccessDenied, PipelineError
from pipeline.http_api.authentication import check_scope
from pipeline.http_api.problems import Problem
from pipeline.http_api.streaming.options import StreamOptions

Authenticate = Callable[[HTTPConnection], Awaitable[Caller]]


class OpenStream:
    """One open stream.

    Attributes:
        problem: why its caller may read no further; None: it may.
        wakes: events that are set when there is a reason to look.
    """

    __slots__ = ("authenticate", "caller", "connection", "is_left", "problem", "scope", "wakes")

    def __init__(
        self, caller: Caller, connection: HTTPConnection, scope: Scope, authenticate: Authenticate | None = None
    ) -> None:
        self.caller, self.connection, self.scope, self.authenticate = caller, connection, scope, authenticate
        self.problem: Problem | PipelineError | None = None
        self.is_left = False
        self.wakes: set[asyncio.Event] = set()

    def leave(self) -> None:
        """Note that the reader is gone."""
        self.is_left = True
        self.wake()

    def refuse(self, problem: Problem | PipelineError) -> None:
        """Note that the caller may read no further."""
        self.problem = problem
        self.wake()

    def wake(self) -> None:
        """Wake everything that works for the stream."""
        for each in self.wakes:
            each.set()

    @property
    def credentials(self) -> tuple[str | None, ...]:
        """What the caller presented."""
        if self.authenticate is not None:
            return "cookie", self.connection.headers.get("cookie")
        return self.connection.headers.get("authorization"), self.connection.query_params.get("token")


class OpenStreams:
    """All open streams of a server, on one event loop.

    Args:
        authenticate: returns who opened a connection; raises if its key may no longer be used.
        draining: is set when the server stops; every stream is woken then.
    """

    def __init__(self, options: StreamOptions, authenticate: Authenticate, draining: asyncio.Event) -> None:
        self._options, self._authenticate, self._draining = options, authenticate, draining
        self._open: set[OpenStream] = set()
        self._of_key: Counter[str | None] = Counter()
        self._waits: set[asyncio.Event] = set()
        self._tasks: tuple[asyncio.Task[None], ...] = ()

    def __len__(self) -> int:
        return len(self._open)

    def open(
        self, caller: Caller, connection: HTTPConnection, scope: Scope, *, authenticate: Authenticate | None = None
    ) -> OpenStream:
        """Count a stream in. `close` counts it out.

        Args:
            authenticate: returns who opened the stream, as long as they may read it; None: by key or token.

        Raises:
            Problem: too_many_streams.
        """
        if self._of_key[caller.key_id] >= self._options.most:
            raise Problem(
                "too_many_streams",
                f"{self._options.most} streams of this key are open; close one, or follow several batches over one "
                "WebSocket",
                headers={"Retry-After": str(math.ceil(self._options.recheck_seconds))},
            )
        stream = OpenStream(caller, connection, scope, authenticate)
        self._open.add(stream)
        self._of_key[caller.key_id] += 1
        self._begin()
        return stream

    @contextmanager
    def waking(self, wake: asyncio.Event) -> Iterator[None]:
        """Set an event if the server stops before the block ends: for a request that waits and is no stream."""
        self._waits.add(wake)
        self._begin()
        try:
            yield
        finally:
            self._waits.discard(wake)
            self._end()

    def _begin(self) -> None:
        if not self._tasks:
            self._tasks = (asyncio.create_task(self._recheck()), asyncio.create_task(self._wake_at_the_end()))

    def _end(self) -> None:
        if not self._open and not self._waits:
            for task in self._tasks:
                task.cancel()
            self._tasks = ()

    def close(self, stream: OpenStream) -> None:
        """Count a stream out."""
        if stream not in self._open:
            return
        self._open.remove(stream)
        key = stream.caller.key_id
        self._of_key[key] -= 1
        if not self._of_key[key]:
            del self._of_key[key]
        self._end()

    async def _wake_at_the_end(self) -> None:
        await self._draining.wait()
        for stream in self._open:
            stream.wake()
        for wake in self._waits:
            wake.set()

    async def _recheck(self) -> None:
        """End the streams whose keys may no longer be used, for as long as there are streams."""
        while True:
            await asyncio.sleep(self._options.recheck_seconds)
            by_credentials = {stream.credentials: stream for stream in self._open}
            for credentials, one in by_credentials.items():
                problem = await self._problem(one)
                if problem is not None:
                    for stream in [each for each in self._open if each.credentials == credentials]:
                        stream.refuse(problem)

    async def _problem(self, stream: OpenStream) -> Problem | PipelineError | None:
        try:
            authenticate = stream.authenticate or self._authenticate
            check_scope(await authenticate(stream.connection), stream.scope)
        except AccessDenied as error:
            return error
        except Problem as problem:
            # Not when the server is busy: the next check will tell.
            return problem if problem.status in (401, 403) else None
        except PipelineError:
            return None
        return None
