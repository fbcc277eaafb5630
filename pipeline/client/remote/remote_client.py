"""A client of a server: the methods of `Client`, over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from pipeline.client import arguments
from pipeline.client.remote.definition_for_server import definition_for_server
from pipeline.client.remote.remote_batch import RemoteBatch, progress_of
from pipeline.client.remote.server import Server, segment
from pipeline.client.remote.upload import upload
from pipeline.definitions import Definition
from pipeline.domain import bounds
from pipeline.domain.batch import Progress
from pipeline.domain.ids import BATCH_ID_LENGTH
from pipeline.domain.item import Item
from pipeline.domain.payload import Rejection
from pipeline.errors import NotFound

_PAGE = 500
#: Batches that are listed where a prefix is ambiguous.
_LISTED = 5


class RemoteClient:
    """Submits and controls batches on a server. Made by `connect`; close it when done, or use it in a `with` block.

    Thread-safe. Requests that fail on the way are sent again: a submission has an idempotency key even if you give
    none.
    """

    def __init__(self, server: Server) -> None:
        self._server = server

    def submit(
        self,
        items: Iterable[Item | Mapping[str, Any]],
        definition: str | Path | Definition,
        *,
        callback_url: str | None = None,
        batch_callback_url: str | None = None,
        fallback_url: str | None = None,
        callback_schedule: Literal["standard", "short"] | None = None,
        idempotency_key: str | None = None,
        fair_key: str = "",
        weight: int = 1,
        key_field: str | None = None,
        callback_url_field: str | None = None,
        on_reject: Callable[[Rejection], object] | None = None,
        on_progress: Callable[[int], object] | None = None,
    ) -> RemoteBatch:
        """Store a batch on the server, all of its items or none; see `Client.submit`.

        Args:
            definition: The name of a definition on the server, or a file or `Definition` that is sent along. What is
                sent may use no files and no functions of yours.

        Raises:
            InvalidItems: An item was refused, or there is none. Nothing is stored.
            InvalidDefinition: The definition cannot be run there.
            InvalidInput: Another argument cannot be used.
            NotFound: There is no such definition.
            Conflict: The idempotency key belongs to another submission.
            AccessDenied: The API key may not submit.
            Unreachable: The server does not answer, also after retries.
            ClientClosed: The client was closed.
        """
        arguments.function("on_reject", on_reject)
        arguments.function("on_progress", on_progress)
        given: dict[str, Any] = {
            "callback_url": callback_url,
            "batch_callback_url": batch_callback_url,
            "fallback_url": fallback_url,
            "callback_schedule": callback_schedule,
            "fair_key": fair_key or None,
            "weight": weight,
        }
        of_parts = {"key_field": key_field, "callback_url_field": callback_url_field}
        options = {name: value for name, value in given.items() if value is not None}
        batch, is_new = upload(
            self._server,
            arguments.items(items),
            {"definition": definition_for_server(definition), **options},
            of_parts={name: value for name, value in of_parts.items() if value is not None},
            idempotency_key=idempotency_key,
            on_reject=on_reject,
            on_progress=on_progress,
        )
        return RemoteBatch(self._server, batch["batch_id"], is_new=is_new)

    def batch(self, name: str) -> RemoteBatch:
        """Return a batch.

        Args:
            name: Its id, a prefix of it that no other has, or `last`.

        Raises:
            NotFound: There is none, or several begin so.
        """
        given = arguments.batch_name(name, "name")
        return RemoteBatch(self._server, self._id_of(given), is_new=False)

    def batches(self, *, before: str | RemoteBatch | None = None, limit: int | None = None) -> Iterator[Progress]:
        """Yield how far batches are, the newest first. Pages are read as you iterate.

        Args:
            before: A batch, or its id; only batches submitted before it.
            limit: Largest number of batches; None: all.
        """
        limit = arguments.limit(limit)
        start = None if before is None else before.id if isinstance(before, RemoteBatch) else self._id_of(before)
        return islice(self._batches(start), limit)

    def work(self) -> None:
        """Do nothing: the server has its own workers."""

    def close(self) -> None:
        """Close the connections. Every later call raises `ClientClosed`. Work on the server goes on."""
        self._server.close()

    def __enter__(self) -> RemoteClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _batches(self, before: str | None) -> Iterator[Progress]:
        after: str | None = None
        while True:
            page = self._server.get("/v1/batches", after=after, before=before, limit=_PAGE)
            yield from map(progress_of, page["data"])
            after = page["next"]
            if not page["has_more"]:
                return

    def _id_of(self, name: str) -> str:
        """Return the id of a batch: the server knows whole ids only."""
        if name == "last":
            newest = next(self._batches(None), None)
            if newest is None:
                raise NotFound("there are no batches yet on the server")
            return newest.batch_id
        if len(name) == BATCH_ID_LENGTH:
            return str(self._server.get(f"/v1/batches/{segment(name)}")["batch_id"])
        page = self._server.get("/v1/batches", prefix=name, limit=_LISTED)
        found = [str(each["batch_id"]) for each in page["data"]]
        if len(found) != 1:
            what = f"is ambiguous; it matches the batches {', '.join(found)}" if found else "is no batch on the server"
            raise NotFound(f"{bounds.shown(name)} {what}")
        return found[0]
