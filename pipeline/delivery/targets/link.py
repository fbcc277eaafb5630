"""What a protocol has to do: open a link to a target, send messages over it, and say why it could not."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from pipeline.delivery.rules.message import TargetMessage
from pipeline.delivery.targets.dial import Dialer
from pipeline.domain.urls.host import UrlProblem, parse_host, parse_port, split_url
from pipeline.domain.urls.route import Route
from pipeline.errors import InvalidSettings


class TargetFailure(Exception):
    """A target did not take a message.

    Args:
        code: of the outcome table, such as `unroutable`.
        word: what the target said, if it said anything.
    """

    def __init__(self, code: str, word: str | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.word = word


@dataclass(frozen=True, slots=True)
class Place:
    """Where a link leads.

    Args:
        scheme: of the protocol.
        hosts: as the URL has them: one host and its port, or several separated by commas.
        options: of the connection: `username`, `password` and the like.
        dial: opens sockets that the deployment permits.
        tls: None for a protocol that is not encrypted.
        deadline_seconds: how long a message may take.
        realm: the part of the server that a connection is bound to: a virtual host, a database, a queue.
    """

    scheme: str
    hosts: str
    dial: Dialer
    deadline_seconds: float
    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    tls: ssl.SSLContext | None = None
    realm: str = ""

    def host_and_port(self, default_port: int) -> tuple[str, int]:
        """Return the one host of this place.

        Raises:
            InvalidSettings: the connection names several, or none that can be read.
        """
        try:
            parts = split_url(f"{self.scheme}://{self.hosts}")
            return parse_host(parts.netloc), parse_port(parts, default_port)
        except UrlProblem as problem:
            raise InvalidSettings(f"the URL of the connection {problem}") from None


class TargetLink(Protocol):
    """One connection to a target, used inside one event loop. Each message is sent once, or fails.

    Every implementation must pass `tests/integration/delivery/targets/test_contract.py`.
    """

    @property
    def is_open(self) -> bool:
        """Whether further messages may be sent over it."""

    async def send(self, message: TargetMessage, route: Route) -> str:
        """Send a message, wait until the target has stored it, and return what it says about it.

        The caller bounds the wait and may cancel it: the message may have been stored even so.

        Raises:
            TargetFailure: the target refused it.
            OSError, TimeoutError: the connection failed; whether the message was stored is unknown.
            Exception: a fault in this program.
        """

    async def close(self) -> None:
        """Close the connection. Waiting messages fail."""
