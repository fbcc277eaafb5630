"""Send to channels now, without the database: tests of channels, and what is wrong with the database itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime

import orjson

from pipeline.alerts.rules.channel import AlertChannel, AlertSettings, ChannelFormat
from pipeline.alerts.rules.formats import alertmanager_alerts
from pipeline.crypto.signer import Signer
from pipeline.delivery.alerts.client import AlertClient
from pipeline.delivery.rules.delivery import Answer
from pipeline.delivery.webhook.errors import code_of
from pipeline.delivery.webhook.options import ClientOptions

#: Sends one thing to one channel.
SendOne = Callable[[AlertClient, AlertChannel], Awaitable[Answer]]


class DirectSender:
    """Sends from the thread that calls it, and waits for each answer.

    Args:
        clock: returns the aware time that is signed.
    """

    def __init__(
        self, secrets: Sequence[str], clock: Callable[[], datetime], options: ClientOptions | None = None
    ) -> None:
        self._signer = Signer(secrets) if secrets else None
        self._clock = clock
        self._options = options

    def send(self, channels: Sequence[AlertChannel], body: bytes, webhook_id: str) -> dict[str, Answer]:
        """Send the body of an event to channels, to all at once. Return the answers by the names of the channels."""

        async def send_one(client: AlertClient, channel: AlertChannel) -> Answer:
            return await client.send(channel, body, webhook_id, self._clock())

        return self._run(channels, send_one)

    def refresh(self, channel: AlertChannel, found: Sequence[Mapping[str, object]]) -> Answer:
        """Tell an Alertmanager which alerts still fire, so that none is forgotten there.

        Args:
            found: the data of the alerts.
        """

        async def send_one(client: AlertClient, _: AlertChannel) -> Answer:
            body = orjson.dumps(alertmanager_alerts(found, self._clock()))
            return await client.post_to(channel.url, body, channel.headers)

        return self._run([channel], send_one)[channel.name]

    def beat(self, url: str) -> Answer:
        """Call the URL of a heartbeat."""

        async def send_one(client: AlertClient, _: AlertChannel) -> Answer:
            return await client.post_to(url, b"{}")

        heart = AlertChannel("heartbeat", ChannelFormat.WEBHOOK)
        return self._run([heart], send_one)["heartbeat"]

    def _run(self, channels: Sequence[AlertChannel], send_one: SendOne) -> dict[str, Answer]:
        if not channels:
            return {}
        # Not asyncio.run, which would wait for a name lookup that hangs.
        loop = asyncio.new_event_loop()
        try:
            return loop.run_until_complete(self._all(channels, send_one))
        finally:
            loop.close()

    async def _all(self, channels: Sequence[AlertChannel], send_one: SendOne) -> dict[str, Answer]:
        client = AlertClient(AlertSettings, self._signer, self._options)
        try:
            answers = await asyncio.gather(*(_guarded(send_one, client, each) for each in channels))
        finally:
            await client.close()
        return dict(zip((each.name for each in channels), answers, strict=True))


async def _guarded(send_one: SendOne, client: AlertClient, channel: AlertChannel) -> Answer:
    try:
        return await send_one(client, channel)
    except Exception as error:
        return Answer(error=code_of(error), text=str(error))
