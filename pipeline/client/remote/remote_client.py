"""A client of a server: the methods of `Client`, over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NoReturn

from pipeline.client import arguments
from pipeline.client.endpoint import EndpointInfo
from pipeline.client.remote.definition_for_server import definition_for_server
from pipeline.client.remote.names import batch_id
from pipeline.client.remote.remote_batch import RemoteBatch, progress_of
from pipeline.client.remote.remote_delivery import RemoteDelivery, delivery_of, delivery_path, find_deliveries
from pipeline.client.remote.remote_endpoint import RemoteEndpoint, info_of
from pipeline.client.remote.server import Server
from pipeline.client.remote.upload import Listeners, upload
from pipeline.definitions import Definition
from pipeline.delivery.deliveries import check_final
from pipeline.delivery.delivery_search import check_name
from pipeline.delivery.rules.delivery import DeliveryState
from pipeline.delivery.rules.endpoint_state import EndpointState
from pipeline.domain.alerts.guard import Guard, guard_json
from pipeline.domain.batch import Progress
from pipeline.domain.callback_url import parse_callback_url
from pipeline.domain.inputs.arrow_stream import ArrowStream
from pipeline.domain.item import Item
from pipeline.domain.payload import Rejection
from pipeline.errors import InvalidInput
from pipeline.telemetry.caller_span import current_traceparent, read_traceparent


class RemoteClient:
    """Submits and controls batches on a server. Made by `connect`; close it when done, or use it in a `with` block.

    Thread-safe. Requests that fail on the way are sent again: a submission has an idempotency key even if you give
    none.
    """

    def __init__(self, server: Server) -> None:
        self._server = server

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
    ) -> RemoteBatch:
        """Store a batch on the server, all of its items or none; see `Client.submit`.

        Args:
            definition: The name of a definition on the server, or a file or `Definition` that is sent along. What is
                sent may use no files and no functions of yours.
            discard: Not supported: a server keeps no interrupted submission of items.

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
        if discard:
            raise InvalidInput("a server keeps nothing of an interrupted submission; leave out discard")
        of_batch = {
            "definition": definition_for_server(definition),
            "callback_url": callback_url,
            "batch_callback_url": batch_callback_url,
            "fallback_url": fallback_url,
            "callback_schedule": callback_schedule,
            "exports": list(arguments.targets("exports", exports)) or None,
            "guards": [guard_json(each) for each in arguments.guards(guards)] or None,
            "fair_key": fair_key or None,
            "weight": weight,
        }
        of_parts = {"key_field": key_field, "callback_url_field": callback_url_field}
        heard = Listeners(on_reject, on_progress)
        caller = read_traceparent(traceparent or current_traceparent())
        batch, is_new = upload(self._server, arguments.items(items), of_batch, of_parts, idempotency_key, heard, caller)
        return RemoteBatch(self._server, batch["batch_id"], is_new=is_new)

    def batch(self, name: str) -> RemoteBatch:
        """Return a batch.

        Args:
            name: Its id, a prefix of it that no other has, or `last`.

        Raises:
            NotFound: There is none, or several begin so.
        """
        return RemoteBatch(self._server, self._id_of(name, "name"), is_new=False)

    def batches(self, *, before: str | RemoteBatch | None = None, limit: int | None = None) -> Iterator[Progress]:
        """Yield how far batches are, the newest first. Pages are read as you iterate.

        Args:
            before: A batch, or its id; only batches submitted before it.
            limit: Largest number of batches; None: all.
        """
        limit = arguments.limit(limit)
        start = None if before is None else self._id_of(before, "before")
        return map(progress_of, self._server.entries("/v1/batches", limit=limit, before=start))

    def endpoint(self, url: str) -> RemoteEndpoint:
        """Return a handle on what receives callbacks; see `Client.endpoint`.

        Raises:
            InvalidInput: It is not a URL.
        """
        self._server.check_open()
        return RemoteEndpoint(self._server, url)

    def endpoints(
        self, *, state: EndpointState | str | None = None, after: str | None = None, limit: int | None = None
    ) -> Iterator[EndpointInfo]:
        """Yield the endpoints that batches of the tenant name, by origin; see `Client.endpoints`.

        Raises:
            InvalidInput: There is no such state, `after` is not a URL, or the limit is not a whole number from 1 to
                100,000.
        """
        self._server.check_open()
        wanted, limit = arguments.state_in(EndpointState, "endpoint", state), arguments.limit(limit)
        start = "" if after is None else parse_callback_url(after, name="`after`").origin
        found = (each for each in self._server.entries("/v1/endpoints", state=wanted) if each["origin"] > start)
        return islice(map(info_of, found), limit)

    def deliveries(
        self,
        *,
        batch: str | RemoteBatch | None = None,
        item: str | None = None,
        state: DeliveryState | str | None = None,
        endpoint: str | None = None,
        url: str | None = None,
        webhook_id: str | None = None,
        since: datetime | timedelta | None = None,
        before: int | None = None,
        limit: int | None = None,
    ) -> Iterator[RemoteDelivery]:
        """Yield the deliveries that match every filter, the newest first; see `Client.deliveries`.

        Raises:
            InvalidInput: An argument cannot be used.
            NotFound: There is no such batch or item.
        """
        filters = {
            "batch": None if batch is None else self._id_of(batch),
            "item": item,
            "state": arguments.state_in(DeliveryState, "delivery", state),
            "endpoint": endpoint,
            "url": url,
            "webhook_id": webhook_id,
            "since": arguments.instant("since", since, datetime.now(UTC)),
            "before": arguments.delivery_number("before", before),
        }
        found = find_deliveries(self._server, filters, arguments.limit(limit))
        return (delivery_of(self._server, each) for each in found)

    def delivery(self, name: int | str) -> RemoteDelivery:
        """Return a delivery; see `Client.delivery`.

        Raises:
            NotFound: There is none.
            InvalidInput: Several deliveries have that webhook id, or it is neither.
        """
        return delivery_of(self._server, self._server.get(delivery_path(check_name(name))))

    def replay_deliveries(
        self,
        *,
        batch: str | RemoteBatch | None = None,
        endpoint: str | None = None,
        since: datetime | timedelta | None = None,
        until: datetime | timedelta | None = None,
        states: DeliveryState | str | Sequence[DeliveryState | str] = DeliveryState.DEAD,
        dry_run: bool = False,
    ) -> int:
        """Send finished deliveries again that match every filter, and return how many; see `Client.replay_deliveries`.

        Raises:
            NotFound: There is no such batch, or nothing was ever owed to the endpoint.
            InvalidInput: An argument cannot be used.
            Unreachable: The connection was lost; they may be sent again or not.
        """
        now, final = datetime.now(UTC), arguments.texts("states", states)
        check_final(final)
        chosen = {
            "batch": None if batch is None else self._id_of(batch),
            "endpoint": endpoint,
            "since": _text_of(arguments.instant("since", since, now)),
            "until": _text_of(arguments.instant("until", until, now)),
            "states": sorted(set(final)),
            "dry_run": arguments.flag("dry_run", dry_run),
        }
        found = self._server.change("POST", "/v1/deliveries/recover", chosen, is_repeatable=dry_run)
        return int(found["matched"])

    def replay_missing(
        self, url: str, batch: str | RemoteBatch, *, batch_events: bool = False, dry_run: bool = False
    ) -> int:
        """Send the events of a batch to a URL that never got them, and return how many; see `Client.replay_missing`.

        Raises:
            NotFound: There is no such batch.
            InvalidCallbackUrl, ForbiddenCallbackUrl: The URL cannot be called back.
            Unreachable: The connection was lost. A second call sends only what is still missing.
        """
        chosen = {
            "url": url,
            "batch": self._id_of(batch),
            "batch_events": arguments.flag("batch_events", batch_events),
            "dry_run": arguments.flag("dry_run", dry_run),
        }
        found = self._server.change("POST", "/v1/deliveries/replay-missing", chosen, is_repeatable=dry_run)
        return int(found["matched"])

    def transaction(self) -> NoReturn:
        """Raise `InvalidInput`: only a client of the database has transactions."""
        raise InvalidInput("a client of a server has no transaction; connect to the database for one")

    def work(self, *, only: RemoteBatch | None = None) -> None:
        """Do nothing: the server has its own workers."""

    def close(self, *, deliver: bool = True) -> None:
        """Close the connections. Every later call raises `ClientClosed`. Work and callbacks on the server go on."""
        self._server.close()

    def __enter__(self) -> RemoteClient:
        self._server.check_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _id_of(self, batch: str | RemoteBatch, name: str = "batch") -> str:
        return batch.id if isinstance(batch, RemoteBatch) else batch_id(self._server, arguments.batch_name(batch, name))


def _text_of(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
