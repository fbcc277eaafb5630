"""What all requests of a server share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from pipeline.context import Context
from pipeline.http_api.authentication import Keyring, authenticate_stream
from pipeline.http_api.pools import Pool
from pipeline.http_api.rate_limits import RateLimits
from pipeline.http_api.streaming.log_hub import LogHub
from pipeline.http_api.streaming.open_streams import OpenStreams
from pipeline.http_api.streaming.options import StreamOptions
from pipeline.http_api.streaming.overview import TenantViews
from pipeline.monitoring.collect import Collector


class WorkBeside(Protocol):
    """What processes the batches that are submitted here."""

    def wake(self) -> None:
        """Have it look for work now. Does not wait, and does not fail."""

    def problem(self) -> str | None:
        """Return why nothing is processed at the moment; None if something is, or is elsewhere."""


class NoWork:
    """Processing happens elsewhere, and looks for work by itself."""

    def wake(self) -> None:
        """Do nothing."""

    def problem(self) -> str | None:
        return None


@dataclass(frozen=True, slots=True)
class GatewayOptions:
    """How a server answers.

    Args:
        has_page: whether it serves the web page.
        is_open: whether requests without a key are answered where no key exists: only this machine can connect.
        port: of its own address, as browsers on this machine name it.
        streams: how streams behave.
    """

    has_page: bool = True
    is_open: bool = False
    port: int | None = None
    streams: StreamOptions = field(default_factory=StreamOptions)


@dataclass(frozen=True, slots=True)
class Gateway:
    """What all requests of a server share."""

    context: Context
    options: GatewayOptions
    keyring: Keyring
    work: WorkBeside = field(default_factory=NoWork)
    rates: RateLimits = field(default_factory=RateLimits)
    quick: Pool = field(default_factory=Pool.quick)
    bulk: Pool = field(default_factory=Pool.bulk)
    #: The idempotency keys, by tenant, of what is being submitted by this process.
    submitting: set[tuple[str, str]] = field(default_factory=set)
    #: Set when the server stops: streams end, and nothing new is begun.
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    hub: LogHub = field(init=False)
    streams: OpenStreams = field(init=False)
    views: TenantViews = field(default_factory=TenantViews)
    collector: Collector = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "hub", LogHub(self.context))
        object.__setattr__(self, "collector", Collector(self.context))
        authenticate = partial(authenticate_stream, self.keyring)
        object.__setattr__(self, "streams", OpenStreams(self.options.streams, authenticate, self.draining))

    @property
    def is_draining(self) -> bool:
        """Whether the server stops."""
        return self.draining.is_set()

    def close(self) -> None:
        """Let its threads end."""
        self.hub.close()
        self.collector.close()
        self.quick.close()
        self.bulk.close()
