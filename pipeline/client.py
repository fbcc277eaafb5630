"""The Python API: submit batches, follow their results, control them."""

from __future__ import annotations

import asyncio
import atexit
import threading
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType

from pipeline import definitions, settings
from pipeline.bootstrap import make_context
from pipeline.broker import wake_dispatcher
from pipeline.definitions import Definition
from pipeline.domain.batch import Progress
from pipeline.result import Result
from pipeline.services import control, replay, report, results
from pipeline.services.acceptance import Given, OnReject
from pipeline.services.context import Context
from pipeline.services.find import find_batch
from pipeline.services.hooks import Hook
from pipeline.services.submit import OnProgress, Submission, submit
from workers.embedded import Embedded

#: How often new results are looked for while none come.
POLL_SECONDS = 0.02


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

    def batches(self, limit: int = 20) -> list[Progress]:
        """Return how far the batches submitted last are, newest first."""
        return report.recent(self._context, limit)

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
        return definitions.find(given, self._context.settings.definitions)

    def _nudge(self) -> None:
        if self._context.settings.is_embedded:
            self.work()
            if self._embedded is not None:
                self._embedded.wake()
            return
        wake_dispatcher(self._context.settings)


class Batch:
    """One batch."""

    def __init__(self, client: Client, batch_id: str, *, is_new: bool = True) -> None:
        self._client = client
        self._context = client.context
        self.id = batch_id
        #: False where `submit` found the idempotency key of an earlier batch.
        self.is_new = is_new
        with self._context.database.read() as connection:
            self.row_id: int = find_batch(connection, batch_id)["id"]

    def __repr__(self) -> str:
        return f"Batch({self.id!r})"

    def results(self, *, follow: bool = False, after: int = 0) -> Iterator[Result]:
        """Yield results in the order in which items finished.

        Args:
            follow: go on until the batch is complete; otherwise end with what there is.
            after: the `seq` of the last result seen; results go on behind it.
        """
        if follow:
            self._client.work()
        # Completion is looked at before the page: what finishes in between is on the next page, not missed.
        is_last = not follow
        while True:
            page = results.page(self._context, self.row_id, after)
            yield from (Result.from_data(data) for data in page.results)
            if page.last_seq != after:
                after = page.last_seq
            elif is_last:
                return
            else:
                is_last = report.is_complete(self._context, self.row_id)
                time.sleep(0 if is_last else POLL_SECONDS)

    async def aresults(self, *, follow: bool = False, after: int = 0) -> AsyncIterator[Result]:
        """The same as `results`, for a program with an event loop."""
        if follow:
            await asyncio.to_thread(self._client.work)
        is_last = not follow
        while True:
            page = await asyncio.to_thread(results.page, self._context, self.row_id, after)
            for data in page.results:
                yield Result.from_data(data)
            if page.last_seq != after:
                after = page.last_seq
            elif is_last:
                return
            else:
                is_last = await asyncio.to_thread(report.is_complete, self._context, self.row_id)
                await asyncio.sleep(0 if is_last else POLL_SECONDS)

    def progress(self) -> Progress:
        """Return how far the batch is."""
        return report.progress(self._context, self.id)

    def labels(self) -> dict[str, int]:
        """Return how many items have each label, most frequent first."""
        return report.labels(self._context, self.id)

    def wait(self, timeout: float | None = None) -> Progress:
        """Wait until every item is final.

        Args:
            timeout: seconds; None: for ever.

        Raises:
            TimeoutError: the batch is not complete by then; it goes on all the same.
        """
        self._client.work()
        end = None if timeout is None else time.monotonic() + timeout
        while not report.is_complete(self._context, self.row_id):
            if end is not None and time.monotonic() >= end:
                progress = self.progress()
                raise TimeoutError(
                    f"batch {self.id} has {progress.final:,} of {progress.total:,} items after {timeout} s"
                )
            time.sleep(POLL_SECONDS)
        return self.progress()

    def pause(self) -> None:
        """Release no more items; what is in flight is finished."""
        control.pause(self._context, self.id)

    def resume(self) -> None:
        """Release items again."""
        control.resume(self._context, self.id)
        self._client._nudge()

    def cancel(self) -> int:
        """Cancel what has not begun; return how many items that was."""
        return control.cancel(self._context, self.id)

    def replay_dead(self, positions: Sequence[int] | None = None) -> int:
        """Make dead items pending again, with fresh attempts; return how many."""
        replayed = replay.replay_dead(self._context, self.id, positions=positions)
        self._client._nudge()
        return replayed
