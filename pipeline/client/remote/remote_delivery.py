"""Deliveries on a server: the methods of `Delivery`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime  # noqa: F401 - the annotations of the inherited fields name it
from typing import Any

from pipeline.client import arguments
from pipeline.client.delivery import DeliveryAttempt, DeliveryFields
from pipeline.client.remote.answers import with_times
from pipeline.client.remote.names import batch_id, item_id
from pipeline.client.remote.server import Server, segment
from pipeline.delivery.rules.delivery import AttemptOutcome, DeliveryState
from pipeline.domain.bounds import shown
from pipeline.domain.callback_url import parse_callback_url
from pipeline.domain.event import EventType
from pipeline.errors import NotFound

_TIMES = ("due_at", "created_at", "finished_at")


@dataclass(frozen=True, slots=True)
class RemoteDelivery(DeliveryFields):
    """One event owed to one URL, as it was when it was read. Made by a `RemoteClient`; has the fields of `Delivery`.

    `url` lacks its query, which may be secret.
    """

    _server: Server = field(repr=False, compare=False)

    def history(self) -> list[DeliveryAttempt]:
        """Return the attempts so far, oldest first; see `Delivery.history`.

        Raises:
            NotFound: The delivery's batch was pruned meanwhile.
        """
        found = self._server.get(delivery_path(self.id))
        return [_attempt(each) for each in found["history"]]

    def replay(self) -> RemoteDelivery:
        """Send it again now, and return it as it is then; see `Delivery.replay`.

        Raises:
            Conflict: It is being sent right now, or its endpoint is disabled.
            NotFound: The delivery's batch was pruned meanwhile.
            Unreachable: The connection was lost; it may be sent again or not.
        """
        return delivery_of(self._server, self._server.change("POST", f"{delivery_path(self.id)}/replay"))


def delivery_path(name: int | str) -> str:
    """Return the path of a delivery."""
    return f"/v1/deliveries/{segment(str(name))}"


def find_deliveries(server: Server, filters: Mapping[str, Any], limit: int | None) -> Iterator[dict[str, Any]]:
    """Yield the deliveries that match every filter, newest first, as the server shows them.

    Args:
        filters: `batch`, `item`, `state`, `endpoint`, `url`, `webhook_id`, `since` and `before`; None: any.

    Raises:
        InvalidInput: A filter cannot be used.
        NotFound: There is no such batch or item.
    """
    server.check_open()
    batch, item, since = filters["batch"], filters["item"], filters["since"]
    wanted = {name: filters[name] for name in ("state", "before")}
    wanted["since"] = None if since is None else since.isoformat()
    wanted["webhook_id"] = arguments.text("webhook_id", filters["webhook_id"])
    for name, noun, part in (("endpoint", "the endpoint", "origin"), ("url", "the URL", "url")):
        given = filters[name]
        wanted[name] = None if given is None else getattr(parse_callback_url(given, name=noun), part)
    of_batch = None if batch is None else batch_id(server, batch)
    of_item = None if item is None else item_id(server, str(arguments.text("item", item)), of_batch)
    if item is not None and of_item is None:
        raise NotFound(f"there is no item {shown(item)}; give the item's id, or its key and its batch")
    return server.entries("/v1/deliveries", limit=limit, batch=of_batch, item=of_item, **wanted)


def delivery_of(server: Server, found: Mapping[str, Any]) -> RemoteDelivery:
    """Return a delivery as a server shows it."""
    values = with_times({name: found[name] for name in DeliveryFields.__slots__}, *_TIMES)
    values |= {"type": EventType(found["type"]), "state": DeliveryState(found["state"])}
    return RemoteDelivery(**values, _server=server)


def _attempt(found: Mapping[str, Any]) -> DeliveryAttempt:
    values = with_times({name: found[name] for name in DeliveryAttempt.__slots__}, "started_at", "ended_at")
    return DeliveryAttempt(**values | {"outcome": AttemptOutcome(found["outcome"])})
