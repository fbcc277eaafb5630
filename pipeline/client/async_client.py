"""The Python API for a program with an event loop: the methods of `Client`, as coroutines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeVar, Unpack

from sqlalchemy import Connection

from pipeline import settings
from pipeline.client import arguments
from pipeline.client.async_session import AsyncSession
from pipeline.client.batch import AsyncBatch, Batch
from pipeline.client.client import Client
from pipeline.client.connect import SettingOverrides, open_session
from pipeline.client.delivery import AsyncDelivery, Delivery, values_of
from pipeline.client.endpoint import AsyncEndpoint, EndpointInfo
from pipeline.client.item_stream import ItemStream, StreamStopped
from pipeline.client.paging import paged_apart
from pipeline.client.session import Session, closed
from pipeline.definitions import Definition
from pipeline.delivery.rules.delivery import DeliveryState
from pipeline.delivery.rules.endpoint_state import EndpointState
from pipeline.domain.alerts.guard import Guard
from pipeline.domain.batch import Progress
from pipeline.domain.inputs.arrow_stream import ArrowStream
from pipeline.domain.item import Item
from pipeline.domain.payload import Rejection
from pipeline.hooks import Hook
from pipeline.telemetry.caller_span import current_traceparent

T = TypeVar("T")


class AsyncClient:
    """Submits and controls batches from an event loop. Use it in an `async with` block, or close it when done.

    Its methods are those of `Client`, as coroutines; `batches`, `endpoints`, `deliveries` and `AsyncBatch.results` are
    for `async for`. The work is done in threads, so that the loop is never blocked. The database is opened when the
    block begins, or with the first call.

    Args:
        database_url: `sqlite:///FILE` or `postgresql://…`.
        broker_url: `redis://…` or `amqp://…`; unset: embedded, in this process.
        definitions: Folder in which definitions are found by name.
        hooks: Called in the transaction in which items and batches become final, in a thread.
        overrides: Further settings; see `SettingOverrides`.

    Raises:
        InvalidSettings: A setting cannot be used, or there is no such setting.
    """

    def __init__(
        self,
        *,
        database_url: str | None = None,
        broker_url: str | None = None,
        definitions: str | Path | None = None,
        hooks: Sequence[Hook] = (),
        **overrides: Unpack[SettingOverrides],
    ) -> None:
        chosen = settings.load(database_url=database_url, broker_url=broker_url, definitions=definitions, **overrides)
        self._session = AsyncSession(partial(open_session, chosen, hooks))

    async def submit(
        self,
        items: Iterable[Item | Mapping[str, Any]] | AsyncIterable[Item | Mapping[str, Any]] | ArrowStream,
        definition: str | Path | Definition,
        *,
        callback_url: str | None = None,
        batch_callback_url: str | None = None,
        fallback_url: str | None = None,
        callback_schedule: Literal["standard", "short"] | None = None,
        exports: str | Sequence[str] = (),
        guards: Guard | str | Sequence[Guard | str] = (),
        idempotency_key: str | None = None,
        fair_key: str = "",
        weight: int = 1,
        key_field: str | None = None,
        callback_url_field: str | None = None,
        on_reject: Callable[[Rejection], object] | None = None,
        on_progress: Callable[[int], object] | None = None,
        discard: bool = False,
        traceparent: str | None = None,
    ) -> AsyncBatch:
        """Store a batch, all of its items or none, and let it run; see `Client.submit`.

        If the task is cancelled, nothing is stored, unless the batch had been accepted by then.

        Args:
            items: Payloads or `Item`s. An asynchronous iterable is read on the loop, any other in a thread.
            on_reject: Called in a thread.
            on_progress: Called in a thread.
        """
        # Here: the thread that stores the batch has another context.
        traceparent = traceparent or current_traceparent()
        stream = ItemStream(items if isinstance(items, AsyncIterable) else arguments.items(items))

        def submit(session: Session) -> Batch:
            return Client(session).submit(
                stream,
                definition,
                callback_url=callback_url,
                batch_callback_url=batch_callback_url,
                fallback_url=fallback_url,
                callback_schedule=callback_schedule,
                exports=exports,
                guards=guards,
                idempotency_key=idempotency_key,
                fair_key=fair_key,
                weight=weight,
                key_field=key_field,
                callback_url_field=callback_url_field,
                on_reject=on_reject,
                on_progress=on_progress,
                discard=discard,
                traceparent=traceparent,
            )

        storing = asyncio.ensure_future(self._session.call_apart(submit))
        try:
            with self._session.stopping(stream):
                batch = await asyncio.shield(storing)
        except asyncio.CancelledError:
            stream.stop()
            # Nothing of the batch is left when this ends.
            await asyncio.wait([storing])
            storing.exception()
            raise
        except StreamStopped:
            raise closed() from None
        return AsyncBatch(self._session, batch)

    async def batch(self, name: str) -> AsyncBatch:
        """Return a batch by its id, a unique prefix of it, or `last`; see `Client.batch`."""
        return AsyncBatch(self._session, await self._call(lambda client: client.batch(name)))

    def batches(
        self, *, before: str | Batch | AsyncBatch | None = None, limit: int | None = None
    ) -> AsyncIterator[Progress]:
        """Yield how far batches are, the newest first; see `Client.batches`."""
        return self._paged(lambda client: client.batches(before=before, limit=limit))

    def endpoint(self, url: str) -> AsyncEndpoint:
        """Return a handle on what receives callbacks; see `Client.endpoint`."""
        self._session.check_open()
        return AsyncEndpoint(self._session, url)

    def endpoints(
        self, *, state: EndpointState | str | None = None, after: str | None = None, limit: int | None = None
    ) -> AsyncIterator[EndpointInfo]:
        """Yield endpoints by origin; see `Client.endpoints`."""
        return self._paged(lambda client: client.endpoints(state=state, after=after, limit=limit))

    async def deliveries(
        self,
        *,
        batch: str | Batch | AsyncBatch | None = None,
        item: str | None = None,
        state: DeliveryState | str | None = None,
        endpoint: str | None = None,
        url: str | None = None,
        webhook_id: str | None = None,
        since: datetime | timedelta | None = None,
        before: int | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[AsyncDelivery]:
        """Yield the deliveries that match every filter, the newest first; see `Client.deliveries`."""

        def found(client: Client) -> Iterator[Delivery]:
            return client.deliveries(
                batch=batch,
                item=item,
                state=state,
                endpoint=endpoint,
                url=url,
                webhook_id=webhook_id,
                since=since,
                before=before,
                limit=limit,
            )

        async for delivery in self._paged(found):
            yield self._delivery(delivery)

    async def delivery(self, name: int | str) -> AsyncDelivery:
        """Return a delivery by its number, or the webhook id of its event or bundle; see `Client.delivery`."""
        return self._delivery(await self._call(lambda client: client.delivery(name)))

    async def replay_deliveries(
        self,
        *,
        batch: str | Batch | AsyncBatch | None = None,
        endpoint: str | None = None,
        since: datetime | timedelta | None = None,
        until: datetime | timedelta | None = None,
        states: DeliveryState | str | Sequence[DeliveryState | str] = DeliveryState.DEAD,
        dry_run: bool = False,
    ) -> int:
        """Send finished deliveries again that match every filter; see `Client.replay_deliveries`."""
        return await self._call(
            lambda client: client.replay_deliveries(
                batch=batch, endpoint=endpoint, since=since, until=until, states=states, dry_run=dry_run
            )
        )

    async def replay_missing(
        self, url: str, batch: str | Batch | AsyncBatch, *, batch_events: bool = False, dry_run: bool = False
    ) -> int:
        """Send the events of a batch to a URL that never got them; see `Client.replay_missing`."""
        return await self._call(
            lambda client: client.replay_missing(url, batch, batch_events=batch_events, dry_run=dry_run)
        )

    async def transaction(self, work: Callable[[Connection], T]) -> T:
        """Call `work` in a thread with a transaction on the client's database, and return what it returns.

        The transaction is committed at the end, and rolled back if `work` raises.

        Args:
            work: Takes the connection, which it must not keep.

        Raises:
            Unreachable: The database does not answer.
        """

        def run(client: Client) -> T:
            with client.transaction() as connection:
                return work(connection)

        return await self._call(run)

    async def work(self, *, only: AsyncBatch | None = None) -> None:
        """Start this process's workers now, if no broker is set; see `Client.work`."""
        chosen = None if only is None else arguments.an_async_batch("only", only)._batch
        await self._call(lambda client: client.work(only=chosen))

    async def close(self, *, deliver: bool = True) -> None:
        """Stop this process's workers, hand back what they hold, and close the database; see `Client.close`."""
        await self._session.close(deliver=deliver)

    async def __aenter__(self) -> AsyncClient:
        await self._session.call(lambda _: None)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close(deliver=error is None)

    async def _call(self, function: Callable[[Client], T]) -> T:
        return await self._session.call(lambda session: function(Client(session)))

    def _paged(self, list_: Callable[[Client], Iterator[T]]) -> AsyncIterator[T]:
        self._session.check_open()
        return paged_apart(self._session, lambda session: list_(Client(session)))

    def _delivery(self, delivery: Delivery) -> AsyncDelivery:
        return AsyncDelivery(**values_of(delivery), _session=self._session)
