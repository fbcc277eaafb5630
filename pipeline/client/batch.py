"""A batch as Python sees it: its results, its progress, what can be done with it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

from pipeline.batches import control, replay, results
from pipeline.batches import progress as batch_progress
from pipeline.client.async_session import AsyncSession
from pipeline.client.result import Result
from pipeline.client.session import Session
from pipeline.domain import bounds
from pipeline.domain.batch import Progress
from pipeline.domain.ids import split_item_id
from pipeline.domain.item import ItemState
from pipeline.errors import InvalidInput, WaitTimeout

#: How often new results are looked for while none come.
POLL_SECONDS = 0.01


class Batch:
    """One batch. Made by a `Client`.

    Attributes:
        id: The batch's id.
        is_new: Whether the call that returned this object stored the batch: False where `submit` found the batch of
            its idempotency key, and for a batch that `client.batch` found.
    """

    def __init__(self, session: Session, batch_id: str, row_id: int, *, is_new: bool) -> None:
        self._session = session
        self._row_id = row_id
        self.id: str = batch_id
        self.is_new: bool = is_new

    def __repr__(self) -> str:
        return f"Batch({self.id!r})"

    def results(self, *, follow: bool = False, after: int = 0) -> Iterator[Result]:
        """Yield results in the order in which items finished.

        Args:
            follow: Wait for further results until the batch is complete; otherwise end with those that there are.
            after: The `seq` of the last result seen; 0: begin with the first.

        Raises:
            NotFound: The batch was pruned meanwhile.
            ClientClosed: The client was closed, also while results are awaited.
        """
        self._session.check_open()
        return self._results(ResultLog(self._session, self._row_id, after, follow=follow))

    def _results(self, result_log: ResultLog) -> Iterator[Result]:
        while not result_log.is_over:
            yield from self._session.while_open(result_log.read())
            time.sleep(result_log.pause_seconds)

    def progress(self) -> Progress:
        """Return how far the batch is.

        Raises:
            NotFound: The batch was pruned meanwhile.
        """
        return batch_progress.progress(self._session.context, self.id)

    def labels(self) -> dict[str, int]:
        """Return how many items have each label, the most frequent first."""
        return batch_progress.labels(self._session.context, self.id)

    def wait(self, timeout: float | None = None) -> Progress:
        """Wait until every item is final.

        Args:
            timeout: Longest wait in seconds; None: no limit.

        Returns:
            How far the batch is then: complete.

        Raises:
            WaitTimeout: The batch is not complete by then. Work on it goes on.
            NotFound: The batch was pruned meanwhile.
            ClientClosed: The client was closed, also during the wait.
        """
        end = wait_end(timeout)
        while not self._is_complete():
            if time.monotonic() >= end:
                raise too_late(self.progress(), timeout)
            time.sleep(POLL_SECONDS)
        return self.progress()

    def pause(self) -> None:
        """Start no more items: those that no worker has claimed are taken back. Claimed ones are finished.

        Raises:
            Conflict: The batch is final.
        """
        control.pause(self._session.context, self.id)

    def resume(self) -> None:
        """Release items again after `pause`.

        Raises:
            Conflict: The batch is final.
        """
        control.resume(self._session.context, self.id)
        self._session.nudge()

    def cancel(self) -> int:
        """Cancel the items that no worker has claimed. Claimed ones are finished.

        Returns:
            How many items were cancelled now.

        Raises:
            Conflict: The batch is complete.
        """
        return control.cancel(self._session.context, self.id)

    def replay_dead(self, items: Sequence[str] | None = None) -> int:
        """Make dead items pending again, with fresh attempts, at the stage that failed.

        The batch runs again, and completes again, with a new event.

        Args:
            items: Ids of the items, such as `result.item_id`; None: all that are dead.

        Returns:
            How many items are pending again. Items that are not dead are left as they are.

        Raises:
            Conflict: The batch was cancelled, and some of its items still run.
            InvalidInput: An id is not the id of an item of this batch.
        """
        return self._replay(ItemState.DEAD, items)

    def replay_cancelled(self, items: Sequence[str] | None = None) -> int:
        """Make items that were cancelled with the batch pending again; the batch runs again.

        Args:
            items: Ids of the items, such as `result.item_id`; None: all that were cancelled.

        Returns:
            How many items are pending again. Items that were not cancelled are left as they are.

        Raises:
            Conflict: Some items of the cancelled batch still run.
            InvalidInput: An id is not the id of an item of this batch.
        """
        return self._replay(ItemState.CANCELLED, items)

    def _replay(self, state: ItemState, items: Sequence[str] | None) -> int:
        positions = None if items is None else [item_position(each, self.id) for each in item_ids(items)]
        replayed = replay.replay(self._session.context, self.id, state, positions=positions)
        self._session.nudge()
        return replayed

    def _is_complete(self) -> bool:
        return _is_complete(self._session, self._row_id)


class AsyncBatch:
    """One batch. Made by an `AsyncClient`; has the methods of `Batch`, as coroutines.

    Attributes:
        id: The batch's id.
        is_new: Whether the call that returned this object stored the batch; see `Batch`.
    """

    def __init__(self, session: AsyncSession, batch: Batch) -> None:
        self._session = session
        self._batch = batch
        self.id: str = batch.id
        self.is_new: bool = batch.is_new

    def __repr__(self) -> str:
        return f"AsyncBatch({self.id!r})"

    async def results(self, *, follow: bool = False, after: int = 0) -> AsyncIterator[Result]:
        """Yield results in the order in which items finished; see `Batch.results`."""
        result_log = await self._session.call(
            lambda session: ResultLog(session, self._batch._row_id, after, follow=follow)
        )
        while not result_log.is_over:
            for result in await self._session.call(lambda _: result_log.read()):
                self._session.check_open()
                yield result
            await asyncio.sleep(result_log.pause_seconds)

    async def progress(self) -> Progress:
        """Return how far the batch is."""
        return await self._session.call(lambda _: self._batch.progress())

    async def labels(self) -> dict[str, int]:
        """Return how many items have each label, the most frequent first."""
        return await self._session.call(lambda _: self._batch.labels())

    async def wait(self, timeout: float | None = None) -> Progress:
        """Wait until every item is final; see `Batch.wait`."""
        end = wait_end(timeout)
        while not await self._session.call(lambda _: self._batch._is_complete()):
            if time.monotonic() >= end:
                raise too_late(await self.progress(), timeout)
            await asyncio.sleep(POLL_SECONDS)
        return await self.progress()

    async def pause(self) -> None:
        """Start no more items; see `Batch.pause`."""
        await self._session.call(lambda _: self._batch.pause())

    async def resume(self) -> None:
        """Release items again after `pause`."""
        await self._session.call(lambda _: self._batch.resume())

    async def cancel(self) -> int:
        """Cancel the items that no worker has claimed; see `Batch.cancel`."""
        return await self._session.call(lambda _: self._batch.cancel())

    async def replay_dead(self, items: Sequence[str] | None = None) -> int:
        """Make dead items pending again; see `Batch.replay_dead`."""
        return await self._session.call(lambda _: self._batch.replay_dead(items))

    async def replay_cancelled(self, items: Sequence[str] | None = None) -> int:
        """Make items that were cancelled with the batch pending again; see `Batch.replay_cancelled`."""
        return await self._session.call(lambda _: self._batch.replay_cancelled(items))


class ResultLog:
    """Reads the results of a batch page by page.

    Attributes:
        is_over: Whether there is nothing more to read.
        pause_seconds: How long to wait before the next page.
    """

    def __init__(self, session: Session, row_id: int, after: int, *, follow: bool) -> None:
        self._session = session
        self._row_id = row_id
        self._after = bounds.SEQ.check("after", after)
        self._is_last = not follow
        #: Whether the page before had all results there were.
        self._is_drained = False
        self.is_over = False
        self.pause_seconds = 0.0

    def read(self) -> list[Result]:
        """Return the next page."""
        context, after = self._session.context, self._after
        if self._is_drained and not self._is_last:
            # Asked before the page is read: what finishes in between is on that page, not missed.
            self._is_last = _is_complete(self._session, self._row_id)
        page = results.page(context, self._row_id, after)
        self._after = page.last_seq
        self.is_over = self._is_last and not page.has_more
        # No pause before the worker of this process is started, and none for the last page.
        waits = self._is_drained and not page.has_more and not page.is_end and not self._is_last
        self.pause_seconds = POLL_SECONDS if waits else 0.0
        self._is_drained = not page.has_more
        return [Result.from_data(data) for data in page.results]


def item_ids(given: Sequence[str]) -> Sequence[str]:
    """Return the ids of items; raise `InvalidArgument` if they are no list."""
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise bounds.invalid("items", given, "a list of ids of items, or None")
    return list(given)


def item_position(item: str, batch_id: str) -> int:
    """Return the position of an item in its batch; raise `InvalidInput` if it is not an item of this batch."""
    found, position = (split_item_id(item) if isinstance(item, str) else None) or (None, 0)
    if found != batch_id:
        raise InvalidInput(
            f"{bounds.shown(item)} is not the id of an item of batch {batch_id}; give `item_id` of its results"
        )
    return position


def _is_complete(session: Session, row_id: int) -> bool:
    """Return whether a batch is complete; if it is not, make sure that this process works on it, or workers do."""
    is_complete = batch_progress.is_complete(session.context, row_id)
    if not is_complete:
        session.ensure_working(row_id)
    return is_complete


def wait_end(timeout: float | None) -> float:
    """Return when a wait ends, by the monotonic clock."""
    return float("inf") if timeout is None else time.monotonic() + bounds.WAIT_SECONDS.check("timeout", timeout)


def too_late(progress: Progress, timeout: float | None) -> WaitTimeout:
    """Return the error of a batch that was not complete in time."""
    done = f"{progress.final:,} of {progress.total:,} items"
    return WaitTimeout(f"batch {progress.batch_id} has finished {done} after {timeout} s", progress)
