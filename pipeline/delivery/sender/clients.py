"""Sends each delivery by the protocol of its URL: webhooks over HTTP, messages to targets."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from pipeline.alerts.rules.channel import AlertSettings
from pipeline.connections.destinations import Destinations
from pipeline.crypto.signer import Signer
from pipeline.delivery.rules.delivery import UNUSABLE, Answer, Owed
from pipeline.delivery.webhook.options import ClientOptions

if TYPE_CHECKING:
    from pipeline.delivery.webhook.ssrf_guard import Resolver


class DeliveryClient(Protocol):
    """Makes attempts. Built and used inside one event loop."""

    def post(self, owed: Owed, at: datetime) -> Awaitable[Answer]:
        """Make one attempt and return its answer. Never raises.

        Args:
            at: the time of the attempt, which is part of the signature.
        """

    async def close(self) -> None:
        """Close all connections."""


class DeliveryClients:
    """The clients of all protocols, each opened at its first use.

    Args:
        signer: signs for endpoints that have no secrets of their own; None: webhooks are not sent at all.
        resolver: looks up names; None: the operating system does.
        now: returns the time that leases are compared with.
        alerts: returns where alerts go; None: nowhere.
    """

    def __init__(
        self,
        signer: Signer | None,
        destinations: Destinations,
        options: ClientOptions | None = None,
        resolver: Resolver | None = None,
        now: Callable[[], datetime] | None = None,
        alerts: Callable[[], AlertSettings] | None = None,
    ) -> None:
        self._alerts = alerts
        self._signer = signer
        self._destinations = destinations
        self._options = options or ClientOptions()
        self._resolver = resolver
        self._now = now
        self._by_scheme: dict[str, DeliveryClient] = {}
        self._opened: dict[str, DeliveryClient] = {}

    def post(self, owed: Owed, at: datetime) -> Awaitable[Answer]:
        """Make one attempt; see `DeliveryClient.post`."""
        scheme = owed.url.partition(":")[0]
        client = self._by_scheme.get(scheme) or self._open(scheme)
        return client.post(owed, at)

    async def close(self) -> None:
        """Close all connections."""
        for client in self._opened.values():
            await client.close()

    def _open(self, scheme: str) -> DeliveryClient:
        kind = {"http": "webhook", "https": "webhook", "alert": "alert"}.get(scheme, "target")
        client = self._opened.get(kind)
        if client is None:
            client = self._opened[kind] = self._make(kind)
        self._by_scheme[scheme] = client
        return client

    def _make(self, kind: str) -> DeliveryClient:
        if kind == "alert" and self._alerts is not None:
            from pipeline.delivery.alerts.client import AlertClient

            return AlertClient(self._alerts, self._signer, self._options, self._resolver)
        return self._webhooks() if kind == "webhook" else self._targets()

    def _webhooks(self) -> DeliveryClient:
        if self._signer is None:
            return _Unsigned()
        # Imported here: many deployments send only one kind.
        from pipeline.delivery.webhook.client import WebhookClient

        return WebhookClient(self._signer, self._destinations.allow_private, self._options, self._resolver)

    def _targets(self) -> DeliveryClient:
        from pipeline.delivery.targets.client import TargetClient

        return TargetClient(self._signer, self._destinations, self._options, self._resolver, self._now)


class _Unsigned:
    """Sends no webhook: receivers could not verify it. Senders without a secret claim none."""

    async def post(self, owed: Owed, at: datetime) -> Answer:
        return Answer(error=UNUSABLE)

    async def close(self) -> None:
        return
