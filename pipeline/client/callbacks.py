"""Callbacks as Python sees them: the endpoints that receive them, and each delivery."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from pipeline.bootstrap import ping
from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.database.tables import POSITIONS_PER_BATCH
from pipeline.delivery import deliveries, endpoint_secrets, endpoints
from pipeline.delivery.endpoints import KnownEndpoint
from pipeline.delivery.rules.failure_text import explain
from pipeline.domain.callback_url import parse_callback_url
from pipeline.domain.ids import item_id, webhook_id
from pipeline.errors import InvalidInput

if TYPE_CHECKING:
    from pipeline.client.client import Client


class Endpoint:
    """What receives callbacks: a scheme, host and port."""

    def __init__(self, context: Context, origin: str) -> None:
        self._context = context
        self._url = origin
        #: `scheme://host:port`.
        self.origin = parse_callback_url(origin, name="the endpoint").origin

    def __repr__(self) -> str:
        return f"Endpoint({self.origin!r})"

    def show(self) -> KnownEndpoint:
        """Return what is known: `condition`, `settings`, `backlog`, `health`, `notices`; no secret, no header's value.

        Raises:
            NotFound: it was never configured and never failed, is owed nothing and took nothing lately.
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

    def test(self, url: str | None = None) -> Ping:
        """Send one signed `webhook.ping` now, as callbacks are sent, and return what came of it; nothing is stored.

        Args:
            url: of this endpoint; default: the one that this handle was made with.

        Raises:
            InvalidInput: the URL is none to call back, or of another endpoint, or there is no secret to sign with.
            PipelineError: what the endpoint has of its own cannot be read here.
        """
        chosen = self._url if url is None else url
        if parse_callback_url(chosen, name="the URL").origin != self.origin:
            raise InvalidInput(f"the URL is not of {self.origin}; `client.endpoint(url).test()` takes any")
        sent = ping(self._context, chosen)
        seconds = (sent.ended_at - sent.started_at).total_seconds()
        return Ping(sent.answer.status, sent.answer.code, explain(sent.answer), sent.answer.text, seconds)

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
class Ping:
    """What a `webhook.ping` came to.

    Args:
        status: HTTP status; None: there was no answer.
        error: code of what went wrong; None for a 2xx.
        message: the same as a sentence.
        answer: how the body of the answer began.
    """

    status: int | None
    error: str | None
    message: str | None
    answer: str | None
    duration_seconds: float

    @property
    def is_success(self) -> bool:
        return self.error is None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at a delivery.

    Args:
        number: from 1.
        outcome: `succeeded`, `retry`, `snoozed` or `dead`.
        status: HTTP status; None: there was no answer.
        error: code of what went wrong, `message` the same as a sentence.
        trigger: `manual` where it was asked for.
        answer: how the body of the answer began.
    """

    number: int
    outcome: str
    status: int | None
    error: str | None
    message: str | None
    trigger: str | None
    answer: str | None
    started_at: datetime
    ended_at: datetime


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
    _client: Client = field(repr=False, compare=False)

    def history(self) -> list[Attempt]:
        """Return its attempts so far, oldest first, those of its bundle among them."""
        found = deliveries.show(self._client.context, self.id).attempts
        return [
            Attempt(
                number=row["number"],
                outcome=row["outcome"],
                status=row["status"],
                error=row["error_type"],
                message=row["error_message"],
                trigger=row["trigger"],
                answer=row["answer"],
                started_at=row["started_at"],
                ended_at=row["ended_at"],
            )
            for row in found
        ]

    def replay(self) -> Delivery:
        """Send it again, now: the same webhook id and body. Return it as it is then: pending.

        The attempt counts for nothing in the schedule.

        Raises:
            Conflict: it is being sent right now, or its endpoint is disabled.
        """
        row = deliveries.replay(self._client.context, self.id)
        self._client.work()
        return self.from_row(row, self._client)

    @classmethod
    def from_row(cls, row: Row, client: Client) -> Self:
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
            _client=client,
        )
