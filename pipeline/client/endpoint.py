"""Endpoints as Python sees them: what receives callbacks, how it is called, and how it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypedDict, Unpack

from pipeline.bootstrap import ping
from pipeline.client.async_session import AsyncSession
from pipeline.client.session import Session
from pipeline.delivery import endpoint_secrets, endpoints
from pipeline.delivery.endpoint_secrets import KnownSecret
from pipeline.delivery.endpoints import KnownEndpoint
from pipeline.delivery.rules.delivery import DeliveryState
from pipeline.delivery.rules.endpoint_state import EndpointState
from pipeline.delivery.rules.failure_text import explain
from pipeline.delivery.rules.notice import Notice, NoticeType
from pipeline.domain.callback_url import parse_callback_url
from pipeline.errors import InvalidInput


class EndpointChanges(TypedDict, total=False):
    """Settings of an endpoint to change; None sets the default again, and those left out stay as they are."""

    #: How deliveries are retried: `standard`, for four days, or `short`, five attempts in a quarter of an hour.
    schedule: Literal["standard", "short"] | None
    #: Requests a second, of all senders together, from 0.001 to 100,000.
    rate: float | None
    #: Requests that may follow at once on a pause; needs `rate`.
    burst: int | None
    #: Requests in flight at once, up to 1,000.
    in_flight_cap: int | None
    #: Send deliveries one after another: those of a batch, or all of the endpoint.
    ordering: Literal["endpoint", "batch"] | None
    #: Longest time in seconds that a failed delivery holds up those behind it; needs `ordering`.
    max_block_seconds: float | None
    #: Send the events of up to so many items in one request, at most 500.
    coalesce_items: int | None
    #: Longest wait of an event for others, in milliseconds, up to 60,000; needs `coalesce_items`.
    coalesce_ms: int | None


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """What is configured for an endpoint; None: the default. `EndpointChanges` explains each setting."""

    schedule: str | None
    rate: float | None
    burst: int | None
    in_flight_cap: int | None
    ordering: str | None
    max_block_seconds: float | None
    coalesce_items: int | None
    coalesce_ms: int | None


@dataclass(frozen=True, slots=True)
class EndpointInfo:
    """What is known of an endpoint. Holds no secret and no value of a header.

    Args:
        origin: `scheme://host:port`.
        state: How it is, in one word.
        since: When the state began, if that is known.
        until: When it is called again, if it is left alone for a while.
        reason: Why it is in this state, if there is a reason.
        settings: What is configured.
        secrets: Its own secrets that sign, newest first; empty: those of `PIPELINE_WEBHOOK_SECRET` sign.
        headers: Names of the headers that are added to every request.
        locked: Why its secrets and headers cannot be read with the keys of this environment; None: they can.
        backlog: Number of deliveries that wait or were given up, by state.
        delivered: How many of the newest 100,000 deliveries to all endpoints it accepted.
        oldest_due_at: When the first of its pending deliveries is due.
        last_success_at: When it last accepted a delivery.
        last_failure_at: When it last failed since its last success.
        failing_since: When it first failed since its last success.
        failing_events: How many different events failed since its last success.
        notices: What happened to it, newest first, 20 at most.
    """

    origin: str
    state: EndpointState
    since: datetime | None
    until: datetime | None
    reason: str | None
    settings: EndpointSettings
    secrets: tuple[KnownSecret, ...]
    headers: tuple[str, ...]
    locked: str | None
    backlog: dict[DeliveryState, int]
    delivered: int
    oldest_due_at: datetime | None
    last_success_at: datetime | None
    last_failure_at: datetime | None
    failing_since: datetime | None
    failing_events: int
    notices: tuple[Notice, ...]


@dataclass(frozen=True, slots=True)
class PingResult:
    """What a `webhook.ping` came to.

    Args:
        status: HTTP status; None: there was no response.
        error: Code of what went wrong, such as `timeout` or `http_503`; None: nothing did.
        message: The same as a sentence.
        answer: How the body of the response began.
        duration_seconds: How long it took.
    """

    status: int | None
    error: str | None
    message: str | None
    answer: str | None
    duration_seconds: float

    @property
    def is_success(self) -> bool:
        """Whether the response had a 2xx status."""
        return self.error is None


class Endpoint:
    """What receives callbacks: a scheme, host and port. Made by `client.endpoint`.

    Attributes:
        origin: `scheme://host:port`.
    """

    def __init__(self, session: Session, url: str) -> None:
        self._session = session
        self._url = url
        self.origin: str = parse_callback_url(url, name="the endpoint").origin

    def __repr__(self) -> str:
        return f"Endpoint({self.origin!r})"

    def show(self) -> EndpointInfo:
        """Return what is known of the endpoint.

        Raises:
            NotFound: It was never configured, never failed, is owed nothing, and accepted nothing lately.
        """
        return info_of(endpoints.show(self._session.context, self.origin))

    def configure(
        self, *, headers: Mapping[str, str | None] | None = None, **changes: Unpack[EndpointChanges]
    ) -> EndpointInfo:
        """Change settings, all or none, from the next attempt on.

        Args:
            headers: Headers to add to every request, by name; None removes one. Those not named stay.
            changes: Settings by name; None sets the default again. See `EndpointChanges`.

        Returns:
            What is known of the endpoint after the change.

        Raises:
            InvalidInput: There is no such setting, or a value cannot be used.
            InvalidHeader: A header cannot be sent.
            CannotDecrypt: There is no key to encrypt headers, or the present ones cannot be read.
        """
        return info_of(endpoints.configure(self._session.context, self.origin, headers=headers, **changes))

    def enable(self) -> int:
        """Call the endpoint again at once, and send what was paused.

        Returns:
            How many deliveries are pending again.

        Raises:
            NotFound: Nothing is known of the endpoint.
        """
        return endpoints.enable(self._session.context, self.origin)

    def disable(self, reason: str | None = None) -> int:
        """Stop calling the endpoint. Pending deliveries are paused, not dropped.

        Args:
            reason: One line that tells others why.

        Returns:
            How many deliveries were paused.

        Raises:
            InvalidInput: The reason is not one line of 1 to 200 characters.
        """
        return endpoints.disable(self._session.context, self.origin, reason)

    def test(self, url: str | None = None) -> PingResult:
        """Send one signed `webhook.ping` now, as callbacks are sent. Nothing is stored.

        Args:
            url: A URL of this endpoint; None: the one that `client.endpoint` was given.

        Raises:
            InvalidInput: The URL belongs to another endpoint, or there is no secret to sign with.
            InvalidCallbackUrl, ForbiddenCallbackUrl: The URL cannot be called back.
            CannotDecrypt: The endpoint's own secrets or headers cannot be read here.
        """
        chosen = self._url if url is None else url
        if parse_callback_url(chosen, name="the URL").origin != self.origin:
            raise InvalidInput(f"the URL is not of {self.origin}; `client.endpoint(url).test()` takes any")
        sent = ping(self._session.context, chosen)
        seconds = (sent.ended_at - sent.started_at).total_seconds()
        return PingResult(sent.answer.status, sent.answer.code, explain(sent.answer), sent.answer.text, seconds)

    def rotate_secret(
        self,
        *,
        grace_seconds: float = endpoint_secrets.DEFAULT_GRACE_SECONDS,
        asymmetric: bool = False,
        secret: str | None = None,
    ) -> str:
        """Give the endpoint a new secret of its own.

        Args:
            grace_seconds: How long earlier secrets keep signing too, up to seven days; 0: they stop now.
            asymmetric: Make a `whsk_…` key pair; the receiver needs only the public half.
            secret: The secret to use; None: make one.

        Returns:
            The secret. It is shown only this once.

        Raises:
            InvalidInput: The grace period cannot be used.
            InvalidSecret: The secret cannot be used.
            CannotDecrypt: There is no key to encrypt it, or the present secrets cannot be read.
        """
        return endpoint_secrets.rotate(
            self._session.context, self.origin, grace_seconds=grace_seconds, asymmetric=asymmetric, secret=secret
        )

    def forget_secret(self) -> None:
        """Drop the endpoint's own secrets and headers, readable or not. Those of the settings sign again.

        Raises:
            NotFound: It has none.
        """
        endpoint_secrets.forget(self._session.context, self.origin)


class AsyncEndpoint:
    """What receives callbacks. Made by `async_client.endpoint`; has the methods of `Endpoint`, as coroutines.

    Attributes:
        origin: `scheme://host:port`.
    """

    def __init__(self, session: AsyncSession, url: str) -> None:
        self._session = session
        self._url = url
        self.origin: str = parse_callback_url(url, name="the endpoint").origin

    def __repr__(self) -> str:
        return f"AsyncEndpoint({self.origin!r})"

    async def show(self) -> EndpointInfo:
        """Return what is known of the endpoint; see `Endpoint.show`."""
        return await self._session.call(lambda session: Endpoint(session, self._url).show())

    async def configure(
        self, *, headers: Mapping[str, str | None] | None = None, **changes: Unpack[EndpointChanges]
    ) -> EndpointInfo:
        """Change settings, all or none, from the next attempt on; see `Endpoint.configure`."""
        return await self._session.call(
            lambda session: Endpoint(session, self._url).configure(headers=headers, **changes)
        )

    async def enable(self) -> int:
        """Call the endpoint again at once, and send what was paused; see `Endpoint.enable`."""
        return await self._session.call(lambda session: Endpoint(session, self._url).enable())

    async def disable(self, reason: str | None = None) -> int:
        """Stop calling the endpoint. Pending deliveries are paused, not dropped; see `Endpoint.disable`."""
        return await self._session.call(lambda session: Endpoint(session, self._url).disable(reason))

    async def test(self, url: str | None = None) -> PingResult:
        """Send one signed `webhook.ping` now; see `Endpoint.test`."""
        return await self._session.call(lambda session: Endpoint(session, self._url).test(url))

    async def rotate_secret(
        self,
        *,
        grace_seconds: float = endpoint_secrets.DEFAULT_GRACE_SECONDS,
        asymmetric: bool = False,
        secret: str | None = None,
    ) -> str:
        """Give the endpoint a new secret of its own and return it; see `Endpoint.rotate_secret`."""
        return await self._session.call(
            lambda session: Endpoint(session, self._url).rotate_secret(
                grace_seconds=grace_seconds, asymmetric=asymmetric, secret=secret
            )
        )

    async def forget_secret(self) -> None:
        """Drop the endpoint's own secrets and headers; see `Endpoint.forget_secret`."""
        await self._session.call(lambda session: Endpoint(session, self._url).forget_secret())


def info_of(known: KnownEndpoint) -> EndpointInfo:
    """Return what the services know of an endpoint, as users see it."""
    condition, health = known.condition, known.health
    return EndpointInfo(
        origin=known.origin,
        state=condition.state,
        since=condition.since,
        until=condition.until,
        reason=condition.reason,
        settings=EndpointSettings(**known.settings),
        secrets=known.own.secrets,
        headers=known.own.headers,
        locked=known.own.locked,
        backlog={DeliveryState(state): number for state, number in known.backlog.items()},
        delivered=known.taken.number,
        oldest_due_at=known.oldest_due_at,
        last_success_at=known.last_success_at,
        last_failure_at=health.last_failure_at,
        failing_since=health.failing_since,
        failing_events=health.failing_events,
        notices=tuple(
            Notice(known.origin, NoticeType(row["type"]), row["created_at"], row["detail"], row["actor"])
            for row in known.notices
        ),
    )
