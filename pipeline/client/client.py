"""The Python API: submit batches, follow their results, control them."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType

from pipeline import definitions, settings
from pipeline.batches import progress
from pipeline.batches.find import find_batch
from pipeline.batches.submit import OnProgress, Submission, submit
from pipeline.batches.validate import Given, OnReject
from pipeline.bootstrap import make_context
from pipeline.broker.publisher import wake_dispatcher
from pipeline.client import arguments
from pipeline.client.batch import Batch
from pipeline.client.callbacks import Delivery, Endpoint
from pipeline.context import Context
from pipeline.definitions import Definition
from pipeline.delivery import deliveries, delivery_search, endpoints
from pipeline.delivery.delivery_search import Wanted
from pipeline.delivery.endpoints import KnownEndpoint
from pipeline.domain.batch import Progress
from pipeline.hooks import Hook
from workers.embedded import Embedded


def connect(
    *,
    database_url: str | None = None,
    broker_url: str | None = None,
    definitions: str | Path | None = None,
    hooks: Sequence[Hook] = (),
    **overrides: object,
) -> Client:
    """Return a client; what is not given comes from `PIPELINE_*`.

    Without a broker, the client works in this process: its threads start with the first batch, and take up what an
    earlier process left unfinished.

    Args:
        database_url: `sqlite:///FILE` or `postgresql://…`.
        broker_url: `redis://…` or `amqp://…`; None: embedded.
        definitions: folder in which definitions are found by name.
        hooks: called in the transaction in which items and batches become final.
        overrides: other settings, by their names in `pipeline.settings.Settings`.

    Raises:
        InvalidSettings, Unreachable, WrongSchema
    """
    chosen = settings.load(database_url=database_url, broker_url=broker_url, definitions=definitions, **overrides)
    return Client(make_context(chosen, hooks=hooks))


class Client:
    """Submits and controls batches. Thread-safe; close it when done, or use it in a `with` block."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._embedded: Embedded | None = None
        self._starting = threading.Lock()

    def submit(
        self,
        items: Iterable[Given],
        definition: str | Definition,
        *,
        callback_url: str | None = None,
        batch_callback_url: str | None = None,
        fallback_url: str | None = None,
        callback_schedule: str | None = None,
        idempotency_key: str | None = None,
        fair_key: str = "",
        weight: int = 1,
        key_field: str | None = None,
        callback_url_field: str | None = None,
        on_reject: OnReject | None = None,
        on_progress: OnProgress | None = None,
    ) -> Batch:
        """Store a batch, all of its items or none, and let it run.

        Args:
            items: mappings or `pipeline.Item`s; a generator is streamed.
            definition: a name, the path of a TOML file, or a `pipeline.Definition`.
            callback_url: receives every item's event, besides the item's own callback URL.
            batch_callback_url: receives `batch.completed`.
            fallback_url: receives `delivery.exhausted` for each callback that is given up, with its event.
            callback_schedule: how callbacks are tried again: `standard`, for four days, or `short`, five attempts in a
                quarter of an hour.
            idempotency_key: a second submission with the same key changes nothing and returns the first batch.
            fair_key: batches of one key share what a key gets.
            weight: how much this batch gets, beside others.
            key_field: payload field with the caller's key; default: the definition's `[input] key`.
            callback_url_field: payload field with an item's own callback URL.
            on_reject: told of each refused item, and the others are accepted; without it one refusal refuses all.
            on_progress: told how many items are stored so far.

        Raises:
            InvalidItems: an item was refused, or there is none.
            InvalidDefinition, InvalidInput, Conflict, Unreachable
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
        )
        submitted = submit(self._context, items, submission, on_reject=on_reject, on_progress=on_progress)
        self._nudge()
        return Batch(self, submitted.batch_id, is_new=submitted.is_new)

    def batch(self, name: str) -> Batch:
        """Return a batch by its id, a unique prefix of it, or `last`.

        Raises:
            NotFound: there is none.
        """
        with self._context.database.read() as connection:
            row = find_batch(connection, name)
        return Batch(self, row["public_id"])

    def endpoint(self, origin: str) -> Endpoint:
        """Return a handle on what receives callbacks: `https://example.com`, or any URL there, called before or not.

        Raises:
            InvalidInput: it is no URL.
        """
        return Endpoint(self._context, origin)

    def endpoints(
        self, *, state: str | None = None, after: str | None = None, limit: int | None = None
    ) -> list[KnownEndpoint]:
        """Return what is known of endpoints that are owed something, took some lately, were configured or failed.

        Args:
            state: only those in this state, such as `disabled` or `failing`.
            after: the origin of the last one seen; only those behind it.
            limit: at most so many.

        Raises:
            InvalidInput: there is no such state, or `after` is no URL.
        """
        return endpoints.every(self._context, state=state, after=after, limit=limit)

    def deliveries(
        self,
        *,
        batch: str | Batch | None = None,
        item: str | None = None,
        state: str | None = None,
        endpoint: str | None = None,
        since: datetime | timedelta | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[Delivery]:
        """Return callbacks that all conditions hold for, newest first.

        Args:
            batch: a batch, its id, a unique prefix of that, or `last`.
            item: its id, or its key in `batch` or else the last one.
            state: `pending`, `sending`, `delivered`, `dead`, `paused` or `cancelled`.
            endpoint: `https://example.com`, or any URL there.
            since: owed since then, aware, or so long ago.
            before: only ids below; the last one's of a list gives the next.

        Raises:
            NotFound: there is no such batch or item.
            InvalidInput: there is no such state, the endpoint is no URL, or another argument cannot be used.
        """
        name, owed_since = arguments.batch_name(batch), arguments.instant("since", since, self._context.now())
        wanted = Wanted(name, state, endpoint, item, since=owed_since, before=arguments.number("before", before))
        arguments.whole("limit", limit, 1, arguments.MOST_LISTED)
        return [Delivery.from_row(row, self) for row in delivery_search.newest(self._context, wanted, limit=limit)]

    def delivery(self, name: int | str) -> Delivery:
        """Return a callback by its number, or by the webhook id of its event or bundle.

        Raises:
            NotFound, InvalidInput: there is none, or several have that webhook id.
        """
        return Delivery.from_row(
            deliveries.show(self._context, delivery_search.number(self._context, name)).delivery, self
        )

    def recover(
        self,
        *,
        batch: str | Batch | None = None,
        endpoint: str | None = None,
        since: datetime | timedelta | None = None,
        until: datetime | timedelta | None = None,
        states: str | Sequence[str] = ("dead",),
        dry_run: bool = False,
    ) -> int:
        """Send callbacks again that came to their end, all that every condition holds for; return how many.

        They keep their webhook ids and bodies. Those to endpoints that are disabled are left out.

        Args:
            batch: a batch, its id, a unique prefix of that, or `last`.
            endpoint: `https://example.com`, or any URL there.
            since, until: when they came to their end, aware, or so long ago; `until` is not included.
            states: of `dead`, `delivered` and `cancelled`.
            dry_run: count only.

        Raises:
            NotFound: there is no such batch, or nothing was ever owed to the endpoint.
            InvalidInput: a state is none of these, a time has no zone, or another argument cannot be used.
        """
        now = self._context.now()
        recovered = deliveries.recover(
            self._context,
            batch=arguments.batch_name(batch),
            origin=endpoint,
            since=arguments.instant("since", since, now),
            until=arguments.instant("until", until, now),
            states=arguments.texts("states", states),
            dry_run=dry_run,
        )
        if recovered and not dry_run:
            self.work()
        return recovered

    def replay_missing(self, url: str, batch: str | Batch, *, batch_events: bool = False, dry_run: bool = False) -> int:
        """Send to a URL the events of a batch that were never sent there; return how many.

        Args:
            batch_events: the batch's own event as well, beside those of its items.

        Raises:
            NotFound, InvalidInput: there is no such batch, or the URL is none to call back.
        """
        name = arguments.batch_name(batch) or ""
        missing = deliveries.replay_missing(self._context, url, name, batch_events=batch_events, dry_run=dry_run)
        if missing and not dry_run:
            self.work()
        return missing

    def batches(self, limit: int = 20) -> list[Progress]:
        """Return how far the batches submitted last are, newest first."""
        return progress.recent(self._context, limit)

    @property
    def context(self) -> Context:
        """What services work with, for code that goes beyond this class."""
        return self._context

    def work(self, *, only: Batch | None = None) -> None:
        """Start this process's workers now, where the client is embedded; on everything, or on one batch."""
        if not self._context.settings.is_embedded:
            return
        with self._starting:
            if self._embedded is not None:
                return
            embedded = Embedded(self._context, batch_id=None if only is None else only.row_id)
            embedded.start()
            self._embedded = embedded
            # A program that ends without closing its client: its thread pools are gone by then, so nothing can be
            # finished, only handed back.
            atexit.register(embedded.abandon)

    def close(self, *, deliver: bool = True) -> None:
        """Stop this process's workers, hand back what they hold, and close the database.

        Args:
            deliver: wait for callbacks that are due now, for `PIPELINE_STOP_SECONDS` at the most. What is not
                delivered by then is delivered by the next process that works on the database.
        """
        if self._embedded is not None:
            atexit.unregister(self._embedded.abandon)
            self._embedded.stop(deliver=deliver)
            self._embedded = None
        self._context.database.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close(deliver=error is None)

    def _definition(self, given: str | Definition) -> Definition:
        if isinstance(given, Definition):
            return given
        return definitions.find_definition(given, self._context.settings.definitions)

    def _nudge(self) -> None:
        if self._context.settings.is_embedded:
            self.work()
            if self._embedded is not None:
                self._embedded.wake()
            return
        wake_dispatcher(self._context.settings)
