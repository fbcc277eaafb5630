"""Sends one test request or message. It belongs to no batch, and nothing about it is stored."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from datetime import datetime

import orjson

from pipeline.connections.destinations import Destinations
from pipeline.crypto.signer import Signer
from pipeline.delivery.rules.credentials import Credentials
from pipeline.delivery.rules.delivery import Owed, Sent
from pipeline.delivery.sender.clients import DeliveryClients
from pipeline.delivery.webhook.options import ClientOptions
from pipeline.domain.callback_url import Callback
from pipeline.domain.event import format_timestamp

#: Type of a ping, as receivers see it.
TYPE = "webhook.ping"


def send_ping(
    callback: Callback,
    signer: Signer | None,
    credentials: Credentials | None,
    destinations: Destinations,
    *,
    clock: Callable[[], datetime],
    options: ClientOptions | None = None,
) -> Sent:
    """Send a ping and return its outcome. It does not count toward the endpoint's health.

    Args:
        credentials: the endpoint's own secrets and headers; None: `signer` signs.
        destinations: decides where callbacks may go.
    """
    owed = _owed(callback, credentials, clock())
    # Not asyncio.run, which would wait for a name lookup that hangs.
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(_send(owed, signer, destinations, clock, options))
    finally:
        loop.close()


async def _send(
    owed: Owed,
    signer: Signer | None,
    destinations: Destinations,
    clock: Callable[[], datetime],
    options: ClientOptions | None,
) -> Sent:
    client = DeliveryClients(signer, destinations, options)
    try:
        started_at = clock()
        answer = await client.post(owed, started_at)
        return Sent(owed, answer, started_at, clock())
    finally:
        await client.close()


def _owed(callback: Callback, credentials: Credentials | None, now: datetime) -> Owed:
    body = orjson.dumps({"type": TYPE, "timestamp": format_timestamp(now), "data": {"endpoint": callback.origin}})
    return Owed(
        id=0,
        url=callback.url,
        origin=callback.origin,
        attempt=1,
        webhook_id=f"msg_{secrets.token_hex(14)}",
        body=body,
        created_at=now,
        credentials=credentials,
    )
