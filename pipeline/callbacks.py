"""Callbacks as Python sees them: the endpoints that receive them, and each delivery."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from pipeline.domain.callback import parse
from pipeline.domain.identity import item_id, webhook_id
from pipeline.services import endpoint_secrets, endpoints
from pipeline.services.context import Context
from pipeline.services.endpoints import KnownEndpoint
from pipeline.storage.row import Row
from pipeline.storage.tables import POSITIONS_PER_BATCH


class Endpoint:
    """What receives callbacks: a scheme, host and port."""

    def __init__(self, context: Context, origin: str) -> None:
        self._context = context
        #: `scheme://host:port`.
        self.origin = parse(origin, name="the endpoint").origin

    def __repr__(self) -> str:
        return f"Endpoint({self.origin!r})"

    def show(self) -> KnownEndpoint:
        """Return what is known: `condition`, `settings`, `backlog`, `health`, `notices`; no secret, no header's value.

        Raises:
            NotFound: it was never configured, and nothing was ever owed to it.
        """
        return endpoints.show(self._context, self.origin)

    def configure(self, *, headers: Mapping[str, str | None] | None = None, **settings: Any) -> KnownEndpoint:
        """Change settings, all or none, from the next attempt on; None sets the default again.

        Args:
            headers: added to every request, by name; None takes one away. Those not named stay.
            settings: schedule, rate, burst, in_flight_cap, ordering, max_block_seconds, coalesce_items, coalesce_ms.

        Raises:
            InvalidInput: there is no such setting, or its value or a header cannot be used.
            PipelineError: headers cannot be encrypted, or the present ones not be read: see `encryption_key`.
        """
        return endpoints.configure(self._context, self.origin, headers=headers, **settings)

    def enable(self) -> int:
        """Call it again, at once, and send what was paused; return how many deliveries that are.

        Raises:
            NotFound: nothing is known of it.
        """
        return endpoints.enable(self._context, self.origin)

    def disable(self, reason: str | None = None) -> int:
        """Call it no more; what it is owed is paused and kept. Return how many deliveries that are.

        Args:
            reason: one line that says why, for others.

        Raises:
            InvalidInput: the reason is not one line.
        """
        return endpoints.disable(self._context, self.origin, reason)

    def rotate_secret(
        self,
        *,
        grace_seconds: float = endpoint_secrets.DEFAULT_GRACE_SECONDS,
        asymmetric: bool = False,
        secret: str | None = None,
    ) -> str:
        """Give it a new secret of its own and return it: the only time it is shown.

        Args:
            grace_seconds: how long those before it sign as well, up to seven days; 0: no more.
            asymmetric: make a `whsk_…`; the receiver needs its public half only.
            secret: one of your own instead of a new one.

        Raises:
            InvalidInput: the grace or the secret cannot be used.
            PipelineError: it cannot be encrypted, or the present ones not be read: see `encryption_key`.
        """
        return endpoint_secrets.rotate(
            self._context, self.origin, grace_seconds=grace_seconds, asymmetric=asymmetric, secret=secret
        )

    def forget_secret(self) -> None:
        """Drop its own secrets and headers, readable or not: those of the settings sign again, and alone.

        Raises:
            NotFound: it has none.
        """
        endpoint_secrets.forget(self._context, self.origin)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event owed to one URL.

    Args:
        item_id: None for an event of the batch itself.
        key: your own of the item, where it has one.
        webhook_id: of the event, the same for every attempt; receivers act on each once.
        bundle: the webhook id of the request in which it travelled with others; None: alone.
        type: of the event, such as `item.completed`.
        url: where it goes; its query may hold what is secret.
        endpoint: scheme, host and port of it.
        state: `pending`, `sending`, `delivered`, `dead`, `paused` or `cancelled`.
        attempts: made so far.
        due_at: when the next may be made.
        last_status, last_error: what the last came to.
        finished_at: when it came to its end.
    """

    id: int
    batch_id: str
    item_id: str | None
    key: str | None
    webhook_id: str
    bundle: str | None
    type: str
    url: str
    endpoint: str
    state: str
    attempts: int
    due_at: datetime | None
    last_status: int | None
    last_error: str | None
    created_at: datetime
    finished_at: datetime | None

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Return a delivery as storage lists it."""
        batch, item = row["public_id"], row["item_id"]
        return cls(
            id=row["id"],
            batch_id=batch,
            item_id=None if item is None else item_id(batch, item % POSITIONS_PER_BATCH),
            key=row["key"],
            webhook_id=webhook_id(batch, row["seq"]),
            bundle=row["bundle"],
            type=row["type"],
            url=row["url"],
            endpoint=row["origin"],
            state=row["state"],
            attempts=row["attempt"],
            due_at=row["due_at"],
            last_status=row["last_status"],
            last_error=row["last_error"],
            created_at=row["created_at"],
            finished_at=row["finished_at"],
        )
