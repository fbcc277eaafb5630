"""A sender beside transactions that finish items."""

from __future__ import annotations

from pipeline.delivery.sender.sender import Sender
from tests.support.receivers.owed import wait_until
from tests.support.receivers.scripted import Scripted


def origin_of(receiver: Scripted) -> str:
    return f"http://127.0.0.1:{receiver.port}"


def ready(sender: Sender, receiver: Scripted) -> Sender:
    """Wait until the sender grants slots."""
    wait_until(lambda: sender.slots.offered([origin_of(receiver)]) != [])
    return sender


def room(sender: Sender) -> int:
    assert sender._loop is not None
    return sender._loop.capacity.room().free
