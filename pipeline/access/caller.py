"""Who makes a request."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.domain.api_key import Scope
from pipeline.domain.tenant import ALL_TENANTS, DEFAULT_TENANT


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a request, and what it may do.

    Args:
        key_id: the id of its key; None: no key, on loopback.
        name: the name of its key.
        tenant: whose batches, endpoints and definitions it sees; `*`: everybody's.
        scopes: what it may do.
        rate: requests per second.
        only_batch: the row id of the one batch that a stream token may read; None: no such limit.
    """

    key_id: str | None
    name: str
    tenant: str
    scopes: frozenset[Scope]
    rate: float
    only_batch: int | None = None

    @property
    def sees(self) -> str | None:
        """The tenant to which queries are limited; None: they are not."""
        return None if self.tenant == ALL_TENANTS else self.tenant

    @property
    def actor(self) -> str:
        """Whom the history of a batch names."""
        return f"key:{self.name}" if self.key_id is not None else "http"

    @property
    def submits_as(self) -> str:
        """The tenant that its batches belong to."""
        return DEFAULT_TENANT if self.tenant == ALL_TENANTS else self.tenant


#: A caller without a key, where no key exists and only this machine can connect.
LOCAL = Caller(key_id=None, name="local", tenant=DEFAULT_TENANT, scopes=frozenset(Scope), rate=float("inf"))
#: Whoever asks for what needs no key.
ANYBODY = Caller(key_id=None, name="anybody", tenant=DEFAULT_TENANT, scopes=frozenset(), rate=float("inf"))
