"""The sender's access to the database: claim, record and release under one name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from sqlalchemy.exc import DataError, IntegrityError, NotSupportedError

from pipeline.database.engine import Database
from pipeline.delivery.claim import Claim, ShareOut, claim_due, record_sent, release
from pipeline.delivery.count_attempts import count_recorded, count_unrecorded
from pipeline.delivery.credentials_cache import CredentialsCache
from pipeline.delivery.rules.capacity import Capacity
from pipeline.delivery.rules.delivery import Sent
from pipeline.delivery.webhook.options import SenderOptions
from pipeline.log import get_logger
from pipeline.telemetry.families import STATEMENT_SECONDS
from pipeline.telemetry.meter import NULL, Meter, timed

log = get_logger(__name__)


class DeliveryStore:
    """Claims, records and releases deliveries. Each call is one blocking transaction: keep it off the event loop.

    Args:
        only_targets: claim no webhooks, since this process cannot sign them.
        with_alerts: claim alerts, since this process knows their channels.
        meter: counts the attempts.
    """

    def __init__(
        self,
        database: Database,
        worker: str,
        clock: Callable[[], datetime],
        options: SenderOptions,
        wallet: CredentialsCache | None = None,
        *,
        only_targets: bool = False,
        with_alerts: bool = False,
        meter: Meter = NULL,
    ) -> None:
        self._database = database
        self._worker = worker
        self._clock = clock
        self._options = options
        self._wallet = wallet or CredentialsCache()
        self._only_targets = only_targets
        self._with_alerts = with_alerts
        self._meter = meter

    def claim(self, room: Capacity, share_out: ShareOut | None = None) -> Claim:
        with timed(self._meter, STATEMENT_SECONDS, "take"):
            return claim_due(
                self._database,
                room,
                worker=self._worker,
                now=self._clock(),
                lease_until=lambda: self._clock() + self._options.lease,
                most=self._options.claim,
                wallet=self._wallet,
                share_out=share_out,
                only_targets=self._only_targets,
                with_alerts=self._with_alerts,
            )

    def record(self, sent: Sequence[Sent]) -> None:
        try:
            self._record(sent)
        except (DataError, IntegrityError, NotSupportedError) as error:
            if len(sent) > 1:
                # One of them cannot be written. Recorded one by one, only that one waits for its lease to run out.
                for each in sent:
                    self.record([each])
                return
            owed = sent[0].owed
            count_unrecorded(self._meter, sent[0])
            log.error("delivery_unrecorded", delivery=owed.id, origin=owed.origin, error=type(error).__name__)

    def _record(self, sent: Sequence[Sent]) -> None:
        with timed(self._meter, STATEMENT_SECONDS, "settle"):
            decisions = record_sent(self._database, sent, worker=self._worker, schedule=self._options.schedule)
        count_recorded(self._meter, sent, decisions)

    def release(self, ids: Sequence[int] | None = None, until: datetime | None = None) -> None:
        """Release these deliveries under a lease that ends at `until`, or all."""
        release(self._database, self._worker, self._clock(), ids, until)
