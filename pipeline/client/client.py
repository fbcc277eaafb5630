"""The Python API: submit batches, follow their results, control them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from sqlalchemy import Connection

from pipeline.batches import named_definitions, progress
from pipeline.batches.find import find_batch
from pipeline.batches.submission import Submission
from pipeline.batches.submit import submit
from pipeline.client import arguments
from pipeline.client.batch import AsyncBatch, Batch
from pipeline.client.delivery import Delivery, fields_of
from pipeline.client.endpoint import Endpoint, EndpointInfo, info_of
from pipeline.client.given_items import to_submit
from pipeline.client.paging import paged
from pipeline.client.session import Session
from pipeline.definitions import Definition
from pipeline.delivery import deliveries, delivery_search, endpoints
from pipeline.delivery.delivery_search import Wanted
from pipeline.delivery.rules.delivery import DeliveryState
from pipeline.delivery.rules.endpoint_state import EndpointState
from pipeline.domain.alerts.guard import Guard
from pipeline.domain.batch import Progress
from pipeline.domain.callback_url import parse_callback_url
from pipeline.domain.inputs.arrow_stream import ArrowStream
from pipeline.domain.item import Item
from pipeline.domain.payload import Rejection
from pipeline.errors import ClientClosed
from pipeline.telemetry.caller_span import current_traceparent, read_traceparent


class Client:
    """Submits and controls batches. Made by `connect`; close it when done, or use it in a `with` block.

    Thread-safe: one client serves a whole program, and the processes that it forks.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def submit(
        self,
        items: Iterable[Item | Mapping[str, Any]] | ArrowStream,
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
    ) -> Batch:
        """Store a batch, all of its items or none, and let it run.

        Args:
            items: Payloads, or `Item`s with your own keys and callback URLs. An iterator is streamed. Or a data frame
                of pandas, polars, Arrow or any library with `__arrow_c_stream__`, or what `read` returns.
            definition: The name of a definition, in a file or stored by `pipeline definitions store`; the path of its
                file, or a `Definition`.
            callback_url: Receives every item's event, in addition to the item's own callback URL.
            batch_callback_url: Receives `batch.completed`.
            fallback_url: Receives `delivery.exhausted` for each callback that is given up, with its event.
            callback_schedule: How callbacks are retried: `standard`, for four days, or `short`, five attempts in a
                quarter of an hour.
            exports: Where all results are written to in bulk: folders, `s3://…`, tables, `conn://NAME/…`, each with its
                options; at most 8. A relative folder is below the current one.
            guards: Against failures, such as `pipeline.Guard(rate=0.05)` or `"rate=5%,in_flight=32"`.
            idempotency_key: Your name for this submission, of 1 to 255 characters. The same submission again with the
                same key changes nothing and returns the first batch; its items are read and compared.
            fair_key: Batches with the same key, of up to 200 characters, share what one batch gets.
            weight: How large this batch's share is, next to others: 1 to 1,000,000.
            key_field: Payload field with your own id of the item; None: the definition's `[input] key`.
            callback_url_field: Payload field with an item's own callback URL.
            on_reject: Called with each refused item; the others are accepted. Without it, one refusal refuses all.
            on_progress: Called with the number of items stored so far.
            discard: Remove what an interrupted submission with the same idempotency key has stored, and begin again.
            traceparent: The span in which you submit it, see W3C Trace Context; default: OpenTelemetry's current one.

        Raises:
            InvalidItems: An item was refused, or there is none. Nothing is stored.
            InvalidDefinition: The definition cannot be run.
            InvalidInput: Another argument cannot be used.
            NotFound: There is no such definition.
            Conflict: The idempotency key belongs to a batch with another definition, other options or other items.
            SourceChanged: What `read` returned is not as it was when the submission was interrupted.
            SourceUnavailable: It cannot be read to its end for now.
            Unreachable: The database does not answer, or the workers of this process did not start.
            ClientClosed: The client was closed, also while items were stored: nothing is stored then.
        """
        submission = Submission(
            definition=self._definition(definition),
            callback_url=callback_url,
            batch_callback_url=batch_callback_url,
            fallback_url=fallback_url,
            callback_schedule=callback_schedule,
            idempotency_key=idempotency_key,
            fair_key=fair_key,
            weight=weight,
            key_field=key_field,
            callback_url_field=callback_url_field,
            exports=arguments.targets("exports", exports),
            caller=read_traceparent(traceparent or current_traceparent()),
            guards=arguments.guards(guards),
        )
        arguments.function("on_reject", on_reject)
        arguments.function("on_progress", on_progress)
        arguments.flag("discard", discard)
        checked = arguments.items(items)
        # Before anything is stored: a caller that sees a failure may submit again.
        self._session.ensure_working()
        context = self._session.context
        given = to_submit(checked, context, submission, self._session.while_open)
        try:
            submitted = submit(
                context, given, submission, on_reject=on_reject, on_progress=on_progress, discard=discard
            )
        except ClientClosed:
            # Removing what was stored has taken a connection again.
            self._session.release_connections()
            raise
        self._session.nudge()
        return Batch(self._session, submitted.batch_id, submitted.row_id, is_new=submitted.is_new)

    def batch(self, name: str) -> Batch:
        """Return a batch.

        Args:
            name: Its id, a unique prefix of it, or `last`.

        Raises:
            NotFound: There is none, or several begin so.
        """
        return self._batch(arguments.batch_name(name, "name"))

    def batches(
        self, *, before: str | Batch | AsyncBatch | None = None, limit: int | None = None
    ) -> Iterator[Progress]:
        """Yield how far batches are, the newest first. Pages are read from the database as you iterate.

        Args:
            before: A batch, or its id; only batches submitted before it.
            limit: Largest number of batches; None: all.

        Raises:
            InvalidInput: The limit is not a whole number from 1 to 100,000.
            NotFound: There is no such batch.
        """
        name, limit = arguments.optional_batch_name(before, "before"), arguments.limit(limit)
        start = None if name is None else self._batch(name)._row_id
        found = paged(self._session, self._batch_page, lambda each: each[0], start=start, limit=limit)
        return (each for _, each in found)

    def endpoint(self, url: str) -> Endpoint:
        """Return a handle on what receives callbacks, whether it was called before or not.

        Args:
            url: `https://example.com`, or any URL there.

        Raises:
            InvalidInput: It is not a URL.
        """
        self._session.check_open()
        return Endpoint(self._session, url)

    def endpoints(
        self, *, state: EndpointState | str | None = None, after: str | None = None, limit: int | None = None
    ) -> Iterator[EndpointInfo]:
        """Yield endpoints by origin: those configured, that failed, are owed something, or accepted something lately.

        Pages are read from the database as you iterate.

        Args:
            state: Only those in this state, such as `disabled` or `failing`.
            after: An origin, or any URL there; only those that follow it.
            limit: Largest number of endpoints; None: all.

        Raises:
            InvalidInput: There is no such state, `after` is not a URL, or the limit is not a whole number from 1 to
                100,000.
        """
        wanted, limit = arguments.state_in(EndpointState, "endpoint", state), arguments.limit(limit)
        start = None if after is None else parse_callback_url(after, name="`after`").origin
        return paged(
            self._session, partial(self._endpoint_page, wanted), lambda each: each.origin, start=start, limit=limit
        )

    def deliveries(
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
    ) -> Iterator[Delivery]:
        """Yield the deliveries that match every filter, the newest first. Pages are read as you iterate.

        Args:
            batch: A batch, its id, a unique prefix of it, or `last`.
            item: An item's id, or its key in `batch` or else in the last batch.
            state: Only those in this state.
            endpoint: `https://example.com`, or any URL there.
            url: Only to exactly this URL.
            webhook_id: Of an event, or of a bundle.
            since: Only events since then, an aware datetime; a timedelta: that long ago.
            before: Only deliveries with lower ids; pass the last id of one page to get the next.
            limit: Largest number of deliveries; None: all.

        Raises:
            InvalidInput: An argument cannot be used.
            NotFound: There is no such batch or item. Raised when the first page is read.
        """
        wanted = Wanted(
            batch=arguments.optional_batch_name(batch),
            state=arguments.state_in(DeliveryState, "delivery", state),
            endpoint=None if endpoint is None else parse_callback_url(endpoint, name="the endpoint").origin,
            item=arguments.text("item", item),
            url=None if url is None else parse_callback_url(url, name="the URL").url,
            webhook_id=arguments.text("webhook_id", webhook_id),
            since=arguments.instant("since", since, self._session.context.now()),
        )
        start, limit = arguments.delivery_number("before", before), arguments.limit(limit)
        return paged(
            self._session, partial(self._delivery_page, wanted), lambda each: each.id, start=start, limit=limit
        )

    def delivery(self, name: int | str) -> Delivery:
        """Return a delivery.

        Args:
            name: Its number, or the webhook id of its event or bundle.

        Raises:
            NotFound: There is none.
            InvalidInput: Several deliveries have that webhook id, or it is neither.
        """
        context = self._session.context
        found = deliveries.show(context, delivery_search.number(context, name))
        return Delivery(**fields_of(found.delivery), _session=self._session)

    def replay_deliveries(
        self,
        *,
        batch: str | Batch | AsyncBatch | None = None,
        endpoint: str | None = None,
        since: datetime | timedelta | None = None,
        until: datetime | timedelta | None = None,
        states: DeliveryState | str | Sequence[DeliveryState | str] = DeliveryState.DEAD,
        dry_run: bool = False,
    ) -> int:
        """Send finished deliveries again that match every filter, with the same webhook ids and bodies.

        Deliveries to disabled endpoints are left out.

        Args:
            batch: A batch, its id, a unique prefix of it, or `last`.
            endpoint: `https://example.com`, or any URL there.
            since: Only those that finished since then, an aware datetime; a timedelta: that long ago.
            until: Only those that finished before then.
            states: Of `dead`, `delivered` and `cancelled`.
            dry_run: Only count them.

        Returns:
            How many deliveries are sent again.

        Raises:
            NotFound: There is no such batch, or nothing was ever owed to the endpoint.
            InvalidInput: An argument cannot be used.
        """
        context = self._session.context
        now = context.now()
        replayed = deliveries.recover(
            context,
            batch=arguments.optional_batch_name(batch),
            origin=endpoint,
            since=arguments.instant("since", since, now),
            until=arguments.instant("until", until, now),
            states=arguments.texts("states", states),
            dry_run=arguments.flag("dry_run", dry_run),
        )
        if replayed and not dry_run:
            self._session.ensure_working()
        return replayed

    def replay_missing(
        self, url: str, batch: str | Batch | AsyncBatch, *, batch_events: bool = False, dry_run: bool = False
    ) -> int:
        """Send the events of a batch to a URL that never got them.

        Args:
            url: Where to send them.
            batch: A batch, its id, a unique prefix of it, or `last`.
            batch_events: Send the batch's own event too, not only those of its items.
            dry_run: Only count them.

        Returns:
            How many events are sent.

        Raises:
            NotFound: There is no such batch.
            InvalidCallbackUrl, ForbiddenCallbackUrl: The URL cannot be called back.
        """
        context, name = self._session.context, arguments.batch_name(batch)
        arguments.flag("batch_events", batch_events)
        arguments.flag("dry_run", dry_run)
        missing = deliveries.replay_missing(context, url, name, batch_events=batch_events, dry_run=dry_run)
        if missing and not dry_run:
            self._session.ensure_working()
        return missing

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Open a transaction on the client's database, for tables of your own next to those of pipeline.

        Use it in a `with` block: it is committed at the end, and rolled back if the block raises.

        Raises:
            Unreachable: The database does not answer.
        """
        database = self._session.context.database
        user_planner = database.user_planner()
        with database.write() as connection, user_planner(connection):
            yield connection

    def work(self, *, only: Batch | None = None) -> None:
        """Start this process's workers now, if no broker is set. They start by themselves with the first batch.

        Args:
            only: Work on this batch and leave the others alone; None: on all.

        Raises:
            Conflict: The workers run already, on something else.
            Unreachable: The workers did not start.
        """
        self._session.work(None if only is None else arguments.a_batch("only", only)._row_id)

    def close(self, *, deliver: bool = True) -> None:
        """Stop this process's workers, hand back what they hold, and close the database.

        Every later call on the client and its handles raises `ClientClosed`, and so do calls that are waiting now.
        Workers that another client of the process shares go on. A second call does nothing more.

        Args:
            deliver: Wait up to `PIPELINE_STOP_SECONDS` for callbacks that are due now. Callbacks that are not
                delivered by then are delivered by the next process that works on the database.
        """
        self._session.close(deliver=deliver)

    def __enter__(self) -> Client:
        self._session.check_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close(deliver=error is None)

    def _definition(self, given: str | Path | Definition) -> Definition:
        if isinstance(given, Definition):
            return given
        return named_definitions.find_local(self._session.context, arguments.path("definition", given))

    def _batch(self, name: str) -> Batch:
        with self._session.context.database.read() as connection:
            row = find_batch(connection, name)
        return Batch(self._session, row["public_id"], row["id"], is_new=False)

    def _batch_page(self, before: int | None, limit: int) -> list[tuple[int, Progress]]:
        return progress.page(self._session.context, before=before, limit=limit)

    def _endpoint_page(self, state: EndpointState | None, after: str | None, limit: int) -> list[EndpointInfo]:
        found = endpoints.every(self._session.context, state=state, after=after, limit=limit)
        return [info_of(each) for each in found]

    def _delivery_page(self, wanted: Wanted, before: int | None, limit: int) -> list[Delivery]:
        found = delivery_search.newest(self._session.context, replace(wanted, before=before), limit=limit)
        return [Delivery(**fields_of(row), _session=self._session) for row in found]
