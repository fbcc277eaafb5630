"""Sends alerts to channels. Their URLs and keys are in the operator's file, and nowhere in the database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from pipeline.alerts.rules.channel import AlertChannel, AlertSettings, ChannelFormat, channel_name
from pipeline.alerts.rules.formats import request_body
from pipeline.crypto.signer import Signer
from pipeline.delivery.rules.delivery import CONNECTION_MISSING, INTERNAL, UNUSABLE, Answer, Owed
from pipeline.delivery.targets.dial import ANYWHERE
from pipeline.delivery.webhook.client import DEFAULT_HEADERS
from pipeline.delivery.webhook.http_client import HttpClient, open_http_client
from pipeline.delivery.webhook.options import ClientOptions
from pipeline.domain.callback_url import parse_callback_url
from pipeline.errors import InvalidInput
from pipeline.log import get_logger

if TYPE_CHECKING:
    from pipeline.delivery.webhook.ssrf_guard import Resolver

log = get_logger(__name__)


class AlertClient:
    """Sends one alert to one channel.

    Build it inside the running event loop; call `close` at the end.

    Args:
        settings: returns what `PIPELINE_ALERTS` says now.
        signer: signs for channels that are webhooks; None: they cannot be sent.
        resolver: looks up names; None: the operating system does.
    """

    def __init__(
        self,
        settings: Callable[[], AlertSettings],
        signer: Signer | None,
        options: ClientOptions | None = None,
        resolver: Resolver | None = None,
    ) -> None:
        self._settings = settings
        self._signer = signer
        # The operator's channels may be anywhere, private networks included.
        self._http: HttpClient = open_http_client(ANYWHERE, options or ClientOptions(), resolver)

    async def post(self, owed: Owed, at: datetime) -> Answer:
        """Make one attempt and return the response, or the code of what went wrong. Never raises.

        Args:
            at: the time of the attempt, which is part of a signature.
        """
        channel = self._settings().channels.get(channel_name(owed.origin) or "")
        if channel is None:
            return Answer(error=CONNECTION_MISSING)
        try:
            return await self.send(channel, owed.body, owed.webhook_id, at)
        except InvalidInput:
            return Answer(error=UNUSABLE)
        except Exception as error:
            log.error("delivery_attempt_failed", delivery=owed.id, origin=owed.origin, error=type(error).__name__)
            return Answer(error=INTERNAL)

    async def send(self, channel: AlertChannel, body: bytes, webhook_id: str, at: datetime) -> Answer:
        """Send the body of an event to a channel, in its format."""
        match channel.format:
            case ChannelFormat.EMAIL:
                from pipeline.delivery.alerts.email_client import send_email

                return await asyncio.to_thread(send_email, channel, body)
            case ChannelFormat.COMMAND:
                from pipeline.delivery.alerts.command_client import run_command

                return await asyncio.to_thread(run_command, channel, body)
        made = request_body(channel, body, at)
        headers = {**DEFAULT_HEADERS, **self._signature(channel, made, webhook_id, at), **channel.headers}
        return await self._http.post(parse_callback_url(channel.url), headers, made)

    async def post_to(self, url: str, body: bytes, headers: Mapping[str, str] | None = None) -> Answer:
        """Post a body to a URL of the operator's file that is no channel."""
        return await self._http.post(parse_callback_url(url), {**DEFAULT_HEADERS, **(headers or {})}, body)

    async def close(self) -> None:
        """Close all connections."""
        await self._http.close()

    def _signature(self, channel: AlertChannel, body: bytes, webhook_id: str, at: datetime) -> dict[str, str]:
        if channel.format is not ChannelFormat.WEBHOOK:
            return {}
        if self._signer is None:
            raise InvalidInput("nothing is sent unsigned")
        timestamp = int(at.timestamp())
        return {
            "webhook-id": webhook_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": self._signer.sign(webhook_id, timestamp, body),
        }
