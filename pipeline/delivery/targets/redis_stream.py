"""Redis: one entry of a stream for each event, written in pipelines."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, cast

from redis.asyncio.connection import Connection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from pipeline.delivery.rules.delivery import AUTH_REFUSED, TARGET_MISSING
from pipeline.delivery.rules.message import TargetMessage
from pipeline.delivery.targets.link import Place, TargetFailure
from pipeline.delivery.webhook.errors import ConnectionLost
from pipeline.domain.urls.route import RedisRoute, Route

DEFAULT_PORT = 6379
EVENT_PREFIX = "ce-"
#: The field of an entry that holds the event.
BODY = "body"
#: Commands written before their answers are read.
PIPELINE = 256

#: What the first word of an error means; any other is a refusal.
_CODES = {
    **dict.fromkeys(("NOAUTH", "WRONGPASS", "NOPERM"), AUTH_REFUSED),
    **dict.fromkeys(("LOADING", "READONLY", "MISCONF", "CLUSTERDOWN", "MASTERDOWN", "NOREPLICAS"), "unavailable"),
    "WRONGTYPE": TARGET_MISSING,
}


async def open_link(place: Place) -> RedisLink:
    """Connect, sign in, and choose the database."""
    host, port = place.host_and_port(DEFAULT_PORT)
    streams = await place.dial.open(host, port, place.tls)
    connection = _Dialed(
        host=host,
        port=port,
        db=int(place.realm),
        username=place.options.get("username"),
        password=place.options.get("password"),
        # The client would try again by itself, for longer than a delivery may take.
        retry=Retry(NoBackoff(), 0),
        retry_on_error=[],
        protocol=2,
        health_check_interval=0,
        socket_timeout=None,
    )
    connection.attach(*streams)
    try:
        await connection.connect()
    except AuthenticationError as error:
        raise TargetFailure(AUTH_REFUSED, str(error)) from None
    except ResponseError as error:
        raise _refusal(error) from None
    except RedisError:
        raise ConnectionLost from None
    finally:
        if not connection.is_connected:
            streams[1].close()
    return RedisLink(connection)


class _Dialed(Connection):
    """A connection on a socket that was opened by the rules of the deployment."""

    def attach(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = (reader, writer)

    async def _connect(self) -> None:
        if self._streams is None:
            # Once lost, it is not opened again: the deployment's guard has to look at each address.
            raise ConnectionLost
        (self._reader, self._writer), self._streams = self._streams, None


class RedisLink:
    """A connection to one database. What is sent while answers are read goes out together with what follows it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._waiting: deque[tuple[list[bytes], asyncio.Future[Any]]] = deque()
        self._has_work = asyncio.Event()
        self._lost: Exception | None = None
        self._task = asyncio.get_running_loop().create_task(self._run())

    @property
    def is_open(self) -> bool:
        return self._lost is None and self._connection.is_connected and not self._is_at_end()

    async def send(self, message: TargetMessage, route: Route) -> str:
        """Append an entry and return its id; see `TargetLink.send`."""
        if self._lost is not None:
            raise self._lost
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((self._connection.pack_command(*_arguments(message, cast("RedisRoute", route))), answer))
        self._has_work.set()
        found = await answer
        return found.decode() if isinstance(found, bytes) else str(found)

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._connection.disconnect(nowait=True)

    def _is_at_end(self) -> bool:
        # An idle connection that the server closed is noticed by nobody who reads.
        reader = self._connection._reader
        return reader is None or reader.at_eof()

    async def _run(self) -> None:
        group: list[asyncio.Future[Any]] = []
        try:
            while True:
                await self._has_work.wait()
                await self._exchange(group)
        except Exception:
            self._fail(ConnectionLost(), group)
        except asyncio.CancelledError:
            self._fail(ConnectionLost(), group)
            raise

    async def _exchange(self, group: list[asyncio.Future[Any]]) -> None:
        """Write what waits, and read the answers. `group` holds those that are still to come."""
        commands: list[bytes] = []
        while self._waiting and len(group) < PIPELINE:
            packed, answer = self._waiting.popleft()
            commands += packed
            group.append(answer)
        if not self._waiting:
            self._has_work.clear()
        await self._connection.send_packed_command(commands, check_health=False)
        while group:
            try:
                found: Any = await self._connection.read_response()
            except ResponseError as error:
                found = _refusal(error)
            answer = group.pop(0)
            if answer.done():
                continue
            if isinstance(found, Exception):
                answer.set_exception(found)
            else:
                answer.set_result(found)

    def _fail(self, error: Exception, group: list[asyncio.Future[Any]]) -> None:
        self._lost = error
        for answer in [*group, *(each for _, each in self._waiting)]:
            if not answer.done():
                answer.set_exception(ConnectionLost())
        group.clear()
        self._waiting.clear()


def _arguments(message: TargetMessage, route: RedisRoute) -> list[Any]:
    trim = [] if route.maxlen is None else ["MAXLEN", "~", route.maxlen]
    # The last of a name counts where entries are read as a mapping: ours, not a header of the endpoint.
    fields = {**message.all_headers(EVENT_PREFIX), BODY: message.body}
    return ["XADD", route.stream, *trim, "*", *(part for field in fields.items() for part in field)]


def _refusal(error: ResponseError) -> TargetFailure:
    # redis-py cuts off the words for which it has a class of its own.
    name = type(error).__name__.upper()
    word = str(error).partition(" ")[0].upper()
    known = {"READONLYERROR": "READONLY", "BUSYLOADINGERROR": "LOADING", "NOPERMISSIONERROR": "NOPERM"}
    known |= {"CLUSTERDOWNERROR": "CLUSTERDOWN", "MASTERDOWNERROR": "MASTERDOWN", "OUTOFMEMORYERROR": "OOM"}
    return TargetFailure(_CODES.get(known.get(name, word), "refused"), str(error))
