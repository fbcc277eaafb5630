"""A batch on a server: the methods of `Batch`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pipeline.client.batch import item_ids, item_position, too_late, wait_end
from pipeline.client.remote.answers import value_of
from pipeline.client.remote.result_pages import LONG_POLL, last_of_replayed, result_pages
from pipeline.client.remote.server import Server, segment
from pipeline.client.result import Result
from pipeline.client.result_tables import ROWS, batches_of, to_pandas, to_polars, to_table
from pipeline.domain import bounds
from pipeline.domain.batch import BatchState, Progress

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

#: Between two questions how far a busy batch is.
_PAUSE_SECONDS = 0.1
#: Items that one request may name.
MAX_NAMED = 10_000


class RemoteBatch:
    """One batch on a server. Made by a `RemoteClient`; has the methods of `Batch`.

    Attributes:
        id: The batch's id.
        is_new: Whether the call that returned this object stored the batch; see `Batch`.
    """

    def __init__(self, server: Server, batch_id: str, *, is_new: bool) -> None:
        self._server = server
        self._path = f"/v1/batches/{segment(batch_id)}"
        self.id: str = batch_id
        self.is_new: bool = is_new

    def __repr__(self) -> str:
        return f"RemoteBatch({self.id!r})"

    def results(self, *, follow: bool = False, after: int = 0) -> Iterator[Result]:
        """Yield results in the order in which items finished; see `Batch.results`.

        Each page is asked for by the `seq` behind the last: a connection that is lost costs nothing.

        Raises:
            NotFound: The batch was pruned meanwhile.
            Unreachable: The server does not answer, also after retries.
            ClientClosed: The client was closed.
        """
        self._server.check_open()
        return self._results(bounds.SEQ.check("after", after), follow=follow)

    def _results(self, after: int, *, follow: bool) -> Iterator[Result]:
        for page in result_pages(self._server, self.id, follow=follow, after=after):
            yield from map(Result.from_data, page.data)

    def arrow_batches(
        self, *, rows: int = ROWS, follow: bool = False, all_ends: bool = False
    ) -> Iterator[pyarrow.RecordBatch]:
        """Yield results as record batches of Arrow; see `Batch.arrow_batches`.

        Without `all_ends`, the results of a batch with replayed items are read twice.

        Raises:
            InvalidInput: `rows` is out of bounds, or pyarrow is not installed.
            NotFound: The batch was pruned meanwhile.
            Unreachable: The server does not answer, also after retries.
            ClientClosed: The client was closed.
        """
        self._server.check_open()
        return batches_of(self._tables(follow=follow, all_ends=all_ends), rows=rows, follow=follow)

    def to_arrow(self, *, all_ends: bool = False) -> pyarrow.Table:
        """Return the results that there are as a `pyarrow.Table`; see `arrow_batches`."""
        return to_table(self.arrow_batches(all_ends=all_ends))

    def to_pandas(self, *, all_ends: bool = False) -> pandas.DataFrame:
        """Return the results that there are as a data frame of pandas, which must be installed; see `arrow_batches`."""
        return to_pandas(self.to_arrow(all_ends=all_ends))

    def to_polars(self, *, all_ends: bool = False) -> polars.DataFrame:
        """Return the results that there are as a data frame of polars, which must be installed; see `arrow_batches`."""
        return to_polars(self.to_arrow(all_ends=all_ends))

    def _tables(self, *, follow: bool, all_ends: bool) -> Iterator[list[Mapping[str, Any]]]:
        last = {} if all_ends or not self._has_repeated() else last_of_replayed(self._server, self.id)
        # A short wait, so that whoever follows is not kept from what is there.
        for page in result_pages(self._server, self.id, follow=follow, after=0, wait=1):
            yield [each for each in page.data if each["seq"] >= last.get(each["item_id"], 0)]

    def _has_repeated(self) -> bool:
        """Return whether items may have several results: there are more events than final items, and the end."""
        found = self.progress()
        return found.last_seq > found.succeeded + found.dead + found.is_complete

    def progress(self) -> Progress:
        """Return how far the batch is.

        Raises:
            NotFound: The batch was pruned meanwhile.
        """
        return progress_of(self._server.get(self._path))

    def labels(self) -> dict[str, int]:
        """Return how many items have each label, the most frequent first."""
        found = self._server.get(f"{self._path}/labels", full=True)
        return {each["label"]: each["count"] for each in found["data"]}

    def wait(self, timeout: float | None = None) -> Progress:
        """Wait until every item is final; see `Batch.wait`.

        Raises:
            WaitTimeout: The batch is not complete by then. Work on it goes on.
            NotFound: The batch was pruned meanwhile.
        """
        end = wait_end(timeout)
        tag, progress = "", None
        while progress is None or not progress.is_complete:
            left = end - time.monotonic()
            if progress is not None and left <= 0:
                raise too_late(progress, timeout)
            answer = self._server.send(
                "GET",
                self._path,
                query={"wait": int(max(0, min(LONG_POLL, left)))} if tag else {},
                headers={"If-None-Match": tag} if tag else {},
                is_repeatable=True,
            )
            if answer.status != 304:
                tag, progress = answer.headers.get("etag", ""), progress_of(value_of(answer))
            if progress is not None and not progress.is_complete:
                time.sleep(max(0.0, min(_PAUSE_SECONDS, end - time.monotonic())))
        return progress

    def pause(self) -> None:
        """Start no more items; see `Batch.pause`.

        Raises:
            Conflict: The batch is final.
        """
        self._server.change("POST", f"{self._path}/pause", is_repeatable=True)

    def resume(self) -> None:
        """Release items again after `pause`.

        Raises:
            Conflict: The batch is final.
        """
        self._server.change("POST", f"{self._path}/resume", is_repeatable=True)

    def cancel(self) -> int:
        """Cancel the items that no worker has claimed, and return how many; see `Batch.cancel`.

        Raises:
            Conflict: The batch is complete.
        """
        return int(self._server.change("POST", f"{self._path}/cancel", is_repeatable=True)["cancelled_now"])

    def replay_dead(self, items: Sequence[str] | None = None) -> int:
        """Make dead items pending again, and return how many; see `Batch.replay_dead`.

        Raises:
            Conflict: The batch was cancelled, and some of its items still run.
            InvalidInput: An id is not the id of an item of this batch.
            Unreachable: The connection was lost; they may be pending or not. A second call replays the rest.
        """
        chosen = None if items is None else self._items(items)
        if chosen is None:
            return self._replayed("dead", {"all": True})
        return sum(self._replayed("dead", {"where": {"items": some}}) for some in _portions(chosen))

    def replay_cancelled(self, items: Sequence[str] | None = None) -> int:
        """Make items that were cancelled with the batch pending again, and return how many.

        See `Batch.replay_cancelled`; raises like `replay_dead`.
        """
        chosen = None if items is None else self._items(items)
        if chosen is None:
            return self._replayed("cancelled", {})
        return sum(self._replayed("cancelled", {"items": some}) for some in _portions(chosen))

    def _replayed(self, state: str, chosen: dict[str, Any]) -> int:
        return int(self._server.change("POST", f"{self._path}/{state}/replay", chosen)["replayed"])

    def _items(self, given: Sequence[str]) -> list[str]:
        for each in item_ids(given):
            item_position(each, self.id)
        return list(given)


def _portions(items: list[str]) -> Iterator[list[str]]:
    """Yield items in the number that one request may name."""
    return (items[start : start + MAX_NAMED] for start in range(0, len(items), MAX_NAMED))


def progress_of(found: Mapping[str, Any]) -> Progress:
    """Return how far a batch is, as a server tells it."""
    counts = ("total", "succeeded", "dead", "cancelled", "in_flight", "running", "last_seq")
    completed = found["completed_at"]
    return Progress(
        batch_id=found["batch_id"],
        definition=found["definition"],
        state=BatchState(found["state"]),
        **{name: found[name] for name in counts},
        created_at=datetime.fromisoformat(found["created_at"]),
        completed_at=None if completed is None else datetime.fromisoformat(completed),
        paused_by=found.get("paused_by"),
    )
