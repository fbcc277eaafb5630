"""The WebSocket protocol `pipeline.v1`: events of many batches over one connection, in text frames of JSON.

The client sends `subscribe`, `credit` and `unsubscribe`, the server `subscribed`, `event`, `end` and `error`. A batch
subscribed to with `credit` sends so many events and then waits for more credit: browsers buffer whatever arrives, and
have no other way to slow the server down.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import orjson
from starlette.websockets import WebSocketDisconnect

from pipeline.access.caller import Caller
from pipeline.batches import event_log
from pipeline.context import Context
from pipeline.errors import AccessDenied, PipelineError
from pipeline.http_api.call import visible_batch
from pipeline.http_api.problems import Problem, problem_of
from pipeline.http_api.streaming.cursors import check_seq
from pipeline.http_api.streaming.feed_reader import FeedReader
from pipeline.http_api.streaming.open_streams import OpenStream
from pipeline.http_api.streaming.socket_call import SocketCall
from pipeline.http_api.streaming.socket_messages import (
    CreditMessage,
    RefusedMessage,
    SubscribeMessage,
    UnsubscribeMessage,
    read_message,
)
from pipeline.http_api.streaming.subscription import Subscription

#: Batches that one connection follows.
MAX_SUBSCRIPTIONS = 100
# Close codes; those from 4000 on are ours.
UNSUPPORTED, NOT_OUR_PROTOCOL, RESTART = 1003, 1008, 1012
BAD_KEY, NO_SCOPE, TOO_MANY = 4401, 4403, 4429

Closing = tuple[int, str]


async def converse(call: SocketCall) -> None:
    """Accept a WebSocket and serve it until either side ends it."""
    await call.websocket.accept(call.socket.subprotocol)
    assert call.socket.scope is not None
    try:
        stream = call.gateway.streams.open(call.caller, call.websocket, call.socket.scope)
    except Problem as problem:
        # Told by a close code: a browser does not see the status of a refused upgrade.
        await call.websocket.close(TOO_MANY, problem.code)
        return
    try:
        await _Conversation(call, stream).run()
    finally:
        call.gateway.streams.close(stream)


class _Conversation:
    """One accepted WebSocket."""

    def __init__(self, call: SocketCall, stream: OpenStream) -> None:
        self._call, self._stream = call, stream
        self._subscriptions: dict[str, Subscription] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Serve the client until either side ends the connection."""
        ends = {asyncio.create_task(self._receive_all()), asyncio.create_task(self._watch())}
        try:
            done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            closing = next(iter(done)).result()
        except WebSocketDisconnect:
            closing = None
        finally:
            self._stream.leave()
            tasks = [*ends, *self._tasks.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if closing is not None:
            with suppress(WebSocketDisconnect):
                await self._call.websocket.close(*closing)

    async def _receive_all(self) -> Closing | None:
        while True:
            message = await self._call.websocket.receive()
            if message["type"] == "websocket.disconnect":
                return None
            text = message.get("text")
            if text is None:
                return UNSUPPORTED, "send text frames"
            await self._keep_pace()
            closing = await self._handle(text)
            if closing is not None:
                return closing

    async def _keep_pace(self) -> None:
        """Count a message toward the rate of the key, as a request; read no further until it may be sent."""
        while (allowance := self._call.gateway.rates.take(self._call.caller)) is not None and allowance.wait:
            await asyncio.sleep(allowance.wait)

    async def _watch(self) -> Closing | None:
        wake = asyncio.Event()
        self._stream.wakes.add(wake)
        while True:
            if self._stream.problem is not None:
                return _closing(self._stream.problem)
            if self._call.gateway.is_draining:
                return RESTART, "the server restarts"
            await wake.wait()
            wake.clear()

    async def _handle(self, text: str) -> Closing | None:
        """Do what a message asks for. Return how to close if it is none of our protocol."""
        batch = None
        try:
            value = orjson.loads(text)
            if not isinstance(value, dict):
                return NOT_OUR_PROTOCOL, "a message is a JSON object with op"
            batch = value.get("batch")
            message = read_message(value)
            if isinstance(message, SubscribeMessage):
                await self._subscribe(message)
            elif isinstance(message, CreditMessage):
                self._subscription(message.batch).add_credit(message.n)
            elif isinstance(message, UnsubscribeMessage):
                self._drop(message.batch)
        except orjson.JSONDecodeError:
            return NOT_OUR_PROTOCOL, "a message is a JSON object with op"
        except (RefusedMessage, Problem, PipelineError) as error:
            await self._send_error(batch, error)
        return None

    async def _subscribe(self, message: SubscribeMessage) -> None:
        name, gateway = message.batch, self._call.gateway
        if name in self._subscriptions:
            raise RefusedMessage("already_subscribed", f"batch {name} is followed already; unsubscribe first")
        if len(self._subscriptions) >= MAX_SUBSCRIPTIONS:
            raise RefusedMessage(
                "too_many", f"a connection follows at most {MAX_SUBSCRIPTIONS} batches; unsubscribe, or open another"
            )
        batch_id, version = await gateway.quick.run(_find, gateway.context, self._call.caller, name)
        after = version.last_seq if message.after == "latest" else check_seq(message.after, version)
        reader = FeedReader(gateway, self._stream, batch_id, after)
        subscription = Subscription(name, reader, message.chosen_types, message.credit, self._call.websocket)
        self._subscriptions[name] = subscription
        await self._send({"op": "subscribed", "batch": name, "last_seq": version.last_seq})
        task = asyncio.create_task(self._follow(subscription))
        self._tasks[name] = task

    async def _follow(self, subscription: Subscription) -> None:
        try:
            await subscription.follow()
        except (Problem, PipelineError) as error:
            await self._send_error(subscription.batch, error)
        except WebSocketDisconnect:
            return
        if self._subscriptions.get(subscription.batch) is subscription:
            del self._subscriptions[subscription.batch], self._tasks[subscription.batch]

    def _subscription(self, batch: str) -> Subscription:
        found = self._subscriptions.get(batch)
        if found is None:
            raise RefusedMessage(
                "not_subscribed", f"batch {batch[:80]!r} is not followed: it ended, or was never subscribed to"
            )
        return found

    def _drop(self, batch: str) -> None:
        self._subscription(batch)
        del self._subscriptions[batch]
        self._tasks.pop(batch).cancel()

    async def _send_error(self, batch: object, error: RefusedMessage | Problem | PipelineError) -> None:
        problem = problem_of(error) if isinstance(error, PipelineError) else error
        of_batch = {"batch": batch} if isinstance(batch, str) else {}
        members = problem.members if isinstance(problem, Problem) else {}
        await self._send({"op": "error", **of_batch, "code": problem.code, "detail": problem.detail, **members})

    async def _send(self, message: dict[str, Any]) -> None:
        await self._call.websocket.send_text(orjson.dumps(message).decode())


def _find(context: Context, caller: Caller, name: str) -> tuple[int, event_log.BatchVersion]:
    batch_id = int(visible_batch(context, caller, name)["id"])
    return batch_id, event_log.version(context, batch_id)


def _closing(problem: Problem | PipelineError) -> Closing:
    is_key = isinstance(problem, AccessDenied) or getattr(problem, "status", 0) == 401
    return (BAD_KEY if is_key else NO_SCOPE), problem.code
