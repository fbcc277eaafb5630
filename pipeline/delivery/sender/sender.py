"""The sender: sends what is owed to callback URLs, from its start to its stop.

A slow endpoint delays nobody: each has its share of the requests in flight, some places are always left, and no
transaction is open while a request is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipeline.crypto.encryption import Encryption
from pipeline.crypto.signer import Signer
from pipeline.database.engine import Database
from pipeline.delivery.credentials_cache import CredentialsCache
from pipeline.delivery.sender.store import DeliveryStore
from pipeline.delivery.webhook.options import SenderOptions
from pipeline.domain.ip_ranges import Network
from pipeline.log import get_logger

if TYPE_CHECKING:
    from pipeline.delivery.sender.loop import SendLoop
    from pipeline.delivery.webhook.ssrf_guard import Resolver

log = get_logger(__name__)

#: Seconds that recording and handing back may take beyond the timeout of `stop`.
STOP_MARGIN_SECONDS = 5.0


class Sender:
    """Sends deliveries on a thread and an event loop of its own.

    Without a secret it sends nothing: a callback that is not signed proves nothing.

    Args:
        secrets: `whsec_…` or `whsk_…`, newest first; each signs where an endpoint has none of its own.
        allow: CIDRs that callbacks may reach although private, plain http included.
        worker: who holds the leases; no two running senders share a name.
        clock: gives the instants that are stored and signed; aware.
        resolver: looks up names; default: the operating system's.
        vault: opens what endpoints have of their own.

    Raises:
        InvalidSecret: a secret cannot be used.
    """

    def __init__(
        self,
        database: Database,
        secrets: Sequence[str],
        allow: Sequence[Network] = (),
        *,
        worker: str,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        options: SenderOptions | None = None,
        resolver: Resolver | None = None,
        vault: Encryption | None = None,
    ) -> None:
        self._signer = Signer(secrets) if secrets else None
        self._allow = tuple(allow)
        self._clock = clock
        self._options = options or SenderOptions()
        self._resolver = resolver
        self._ledger = DeliveryStore(database, worker, clock, self._options, CredentialsCache(vault))
        self._loop: SendLoop | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to send. Call it after a fork, not before."""
        signer = self._signer
        if signer is None:
            log.info("sender_idle", reason="PIPELINE_WEBHOOK_SECRET is not set")
            return
        # Here, since most processes send nothing.
        from pipeline.delivery.sender.loop import SendLoop
        from pipeline.delivery.webhook.client import WebhookClient

        self._loop = SendLoop(
            self._ledger,
            lambda: WebhookClient(signer, self._allow, self._options.client, self._resolver),
            self._options,
            self._clock,
        )
        self._thread = threading.Thread(target=self._loop.run, name="sender", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Say, from any thread, that there may be work that is due now. Cheap, and never fails."""
        if self._loop is not None:
            self._loop.wake()

    def stop(self, timeout: float = 20.0) -> None:
        """Claim no more, give what is in flight `timeout` seconds, hand back the rest without counting an attempt."""
        if self._loop is None or self._thread is None:
            return
        self._loop.ask_to_stop(timeout)
        self._thread.join(timeout + STOP_MARGIN_SECONDS)
        if self._thread.is_alive():
            log.warning("sender_not_stopped", reason="the database does not answer; leases will run out")
        self._loop = self._thread = None
