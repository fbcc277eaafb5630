"""What all requests of a server share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Protocol

from pipeline.context import Context
from pipeline.http_api.authentication import Keyring
from pipeline.http_api.pools import Pool


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
    """

    has_page: bool = True
    is_open: bool = False
    port: int | None = None


@dataclass(frozen=True, slots=True)
class Gateway:
    """What all requests of a server share."""

    context: Context
    options: GatewayOptions
    keyring: Keyring
    work: WorkBeside = field(default_factory=NoWork)
    quick: Pool = field(default_factory=Pool.quick)
    bulk: Pool = field(default_factory=Pool.bulk)
    #: The idempotency keys, by tenant, of what is being submitted by this process.
    submitting: set[tuple[str, str]] = field(default_factory=set)
    #: Set when the server stops: streams end, and nothing new is begun.
    draining: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_draining(self) -> bool:
        """Whether the server stops."""
        return self.draining.is_set()

    def close(self) -> None:
        """Let its threads end."""
        self.quick.close()
        self.bulk.close()
