"""A batch as Python sees it: its results, its progress, what can be done with it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from pipeline.batches import control
from pipeline.batches import progress as batch_progress
from pipeline.batches.replays import replay
from pipeline.client.async_session import AsyncSession
from pipeline.client.result import Result
from pipeline.client.result_log import POLL_SECONDS, ResultLog, is_complete
from pipeline.client.result_tables import ROWS, record_batches, to_pandas, to_polars, to_table
from pipeline.client.session import Session
from pipeline.domain import bounds
from pipeline.domain.batch import Progress
from pipeline.domain.ids import split_item_id
from pipeline.domain.item import ItemState
from pipeline.errors import InvalidInput, WaitTimeout

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow


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

    def arrow_batches(
        self, *, rows: int = ROWS, follow: bool = False, all_ends: bool = False
    ) -> Iterator[pyarrow.RecordBatch]:
        """Yield results as record batches of Arrow, in the order in which items finished.

        They all have the columns of a results file in CSV. `classification` and `enrichment` are JSON text. Needs the
        extra `parquet`.

        Args:
            rows: Largest number of rows of one: 1 to 100,000.
            follow: Wait for further results until the batch is complete. What is there is yielded when no more come
                for now.
            all_ends: Yield every result of an item that was replayed; otherwise only its last one so far.

        Raises:
            InvalidInput: `rows` is out of bounds, or pyarrow is not installed.
            NotFound: The batch was pruned meanwhile.
            ClientClosed: The client was closed, also while results are awaited.
        """
        self._session.check_open()
        found = record_batches(self._session, self._row_id, rows=rows, follow=follow, all_ends=all_ends)
        return self._session.while_open(found)

    def to_arrow(self, *, all_ends: bool = False) -> pyarrow.Table:
        """Return the results that there are as a `pyarrow.Table`; see `arrow_batches`."""
        return to_table(self.arrow_batches(all_ends=all_ends))

    def to_pandas(self, *, all_ends: bool = False) -> pandas.DataFrame:
        """Return the results that there are as a data frame of pandas, which must be installed; see `arrow_batches`."""
        return to_pandas(self.to_arrow(all_ends=all_ends))

    def to_polars(self, *, all_ends: bool = False) -> polars.DataFrame:
        """Return the results that there are as a data frame of polars, which must be installed; see `arrow_batches`."""
        return to_polars(self.to_arrow(all_ends=all_ends))

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
        return is_complete(self._session, self._row_id)


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

    async def arrow_batches(
        self, *, rows: int = ROWS, follow: bool = False, all_ends: bool = False
    ) -> AsyncIterator[pyarrow.RecordBatch]:
        """Yield results as record batches of Arrow; see `Batch.arrow_batches`."""
        found = await self._session.call(
            lambda _: self._batch.arrow_batches(rows=rows, follow=follow, all_ends=all_ends)
        )
        while (each := await self._session.call(lambda _: next(found, None))) is not None:
            yield each

    async def to_arrow(self, *, all_ends: bool = False) -> pyarrow.Table:
        """Return the results that there are as a `pyarrow.Table`; see `Batch.arrow_batches`."""
        return await self._session.call(lambda _: self._batch.to_arrow(all_ends=all_ends))

    async def to_pandas(self, *, all_ends: bool = False) -> pandas.DataFrame:
        """Return the results that there are as a data frame of pandas; see `Batch.arrow_batches`."""
        return await self._session.call(lambda _: self._batch.to_pandas(all_ends=all_ends))

    async def to_polars(self, *, all_ends: bool = False) -> polars.DataFrame:
        """Return the results that there are as a data frame of polars; see `Batch.arrow_batches`."""
        return await self._session.call(lambda _: self._batch.to_polars(all_ends=all_ends))

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


def wait_end(timeout: float | None) -> float:
    """Return when a wait ends, by the monotonic clock."""
    return float("inf") if timeout is None else time.monotonic() + bounds.WAIT_SECONDS.check("timeout", timeout)


def too_late(progress: Progress, timeout: float | None) -> WaitTimeout:
    """Return the error of a batch that was not complete in time."""
    done = f"{progress.final:,} of {progress.total:,} items"
    return WaitTimeout(f"batch {progress.batch_id} has finished {done} after {timeout} s", progress)
