"""The sender: sends deliveries to callback URLs between `start` and `stop`.

A slow endpoint does not delay others: each has a share of the requests in flight, some slots always stay free, and no
transaction is open during a request.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipeline.alerts.rules.channel import AlertSettings
from pipeline.connections.destinations import Destinations
from pipeline.crypto.encryption import Encryption
from pipeline.crypto.signer import Signer
from pipeline.database.engine import Database
from pipeline.delivery.credentials_cache import CredentialsCache
from pipeline.delivery.sender.slots import SenderSlots
from pipeline.delivery.sender.store import DeliveryStore
from pipeline.delivery.webhook.options import SenderOptions
from pipeline.log import get_logger
from pipeline.telemetry import tracing
from pipeline.telemetry.meter import NULL, Meter

if TYPE_CHECKING:
    from pipeline.delivery.sender.delivery_traces import DeliveryTraces
    from pipeline.delivery.sender.loop import SendLoop
    from pipeline.delivery.webhook.ssrf_guard import Resolver

log = get_logger(__name__)

#: Seconds that recording and releasing may take beyond the timeout of `stop`.
STOP_MARGIN_SECONDS = 5.0


class Sender:
    """Sends deliveries on its own thread and event loop.

    Without a secret it sends no webhooks, because receivers could not verify an unsigned callback. Messages to targets
    are sent without a signature then: their broker has verified the sender.

    Args:
        secrets: `whsec_…` or `whsk_…`, newest first; all of them sign unless an endpoint has its own.
        destinations: decides where callbacks may go.
        worker: name that holds the leases, unique among running senders.
        clock: returns the aware times that are stored and signed.
        resolver: looks up host names; default: the operating system's.
        vault: decrypts the secrets and headers of endpoints.
        trace_rate: the share of items whose deliveries are traced, if this process sends traces.
        alerts: returns where alerts go; None: this process sends none.
        meter: counts the attempts.

    Raises:
        InvalidSecret: a secret is invalid.
    """

    def __init__(
        self,
        database: Database,
        secrets: Sequence[str],
        destinations: Destinations | None = None,
        *,
        worker: str,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        options: SenderOptions | None = None,
        resolver: Resolver | None = None,
        vault: Encryption | None = None,
        trace_rate: float = 0.0,
        alerts: Callable[[], AlertSettings] | None = None,
        meter: Meter = NULL,
    ) -> None:
        self._database = database
        self._trace_rate = trace_rate
        self._traces: DeliveryTraces | None = None
        self._signer = Signer(secrets) if secrets else None
        self._destinations = destinations or Destinations()
        self._clock = clock
        self._options = options or SenderOptions()
        self._resolver = resolver
        self._alerts = alerts
        only_targets = self._signer is None
        self._ledger = DeliveryStore(
            database,
            worker,
            clock,
            self._options,
            CredentialsCache(vault),
            only_targets=only_targets,
            with_alerts=alerts is not None,
            meter=meter,
        )
        #: For transactions that finish items in this process, see `preclaim`.
        self.slots = SenderSlots(
            worker, self._ledger, self._options, clock, CredentialsCache(vault), only_targets=only_targets
        )
        self._loop: SendLoop | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start sending. Call it after a fork, not before."""
        if self._signer is None and not self._destinations.has_targets and self._alerts is None:
            log.info("sender_idle", reason="PIPELINE_WEBHOOK_SECRET is not set")
            return
        # Imported here: most processes send nothing.
        from pipeline.delivery.sender.clients import DeliveryClients
        from pipeline.delivery.sender.loop import SendLoop

        if tracing.is_tracing():
            from pipeline.delivery.sender.delivery_traces import DeliveryTraces

            self._traces = DeliveryTraces(self._database, self._trace_rate)
        self._loop = SendLoop(
            self._ledger,
            lambda: DeliveryClients(
                self._signer, self._destinations, self._options.client, self._resolver, self._clock, self._alerts
            ),
            self._options,
            self._clock,
            None if self._traces is None else self._traces.sent,
        )
        self._thread = threading.Thread(target=self._loop.run, name="sender", daemon=True)
        self._thread.start()
        self.slots.attach(self._loop)

    def wake(self) -> None:
        """Signal, from any thread, that deliveries may be due. Cheap; never fails."""
        if self._loop is not None:
            self._loop.wake()

    def stop(self, timeout: float = 20.0) -> None:
        """Stop claiming and wait for requests in flight; return the rest to the queue without counting an attempt.

        Args:
            timeout: seconds to wait for requests in flight.
        """
        if self._loop is None or self._thread is None:
            return
        self.slots.attach(None)
        self._loop.ask_to_stop(timeout)
        self._thread.join(timeout + STOP_MARGIN_SECONDS)
        if self._thread.is_alive():
            log.warning("sender_not_stopped", reason="the database does not answer; leases will run out")
        if self._traces is not None:
            self._traces.close()
        self._loop = self._thread = self._traces = None
