"""The sender's slots, as transactions of other threads reserve them for preclaimed deliveries."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from pipeline.delivery.credentials_cache import CredentialsCache
from pipeline.delivery.rules.credentials import Credentials, Sealed
from pipeline.delivery.rules.delivery import Owed, is_target
from pipeline.delivery.sender.store import DeliveryStore
from pipeline.delivery.webhook.options import LEAST_LEASE_MARGIN, SenderOptions
from pipeline.log import get_logger

if TYPE_CHECKING:
    from pipeline.delivery.sender.loop import SendLoop

log = get_logger(__name__)


class SenderSlots:
    """Implements `preclaim.DeliverySlots`. Grants nothing while the sender does not run. Usable from any thread."""

    def __init__(
        self,
        worker: str,
        store: DeliveryStore,
        options: SenderOptions,
        clock: Callable[[], datetime],
        wallet: CredentialsCache,
        *,
        only_targets: bool = False,
    ) -> None:
        self.worker = worker
        self._store = store
        self._options = options
        self._clock = clock
        self._wallet = wallet
        self._only_targets = only_targets
        self._lock = threading.Lock()
        self._loop: SendLoop | None = None

    def attach(self, loop: SendLoop | None) -> None:
        """Use the slots of a running loop; None when it stops."""
        self._loop = loop

    def lease_until(self) -> datetime:
        return self._clock() + self._options.lease

    def open_credentials(self, sealed: Sealed) -> Credentials | None:
        with self._lock:
            return self._wallet.open(sealed)

    def offered(self, origins: Iterable[str]) -> list[str]:
        loop = self._loop
        if loop is None or not loop.accepts:
            return []
        chosen = {origin for origin in origins if is_target(origin)} if self._only_targets else set(origins)
        return [*loop.capacity.without_backlog(chosen), *filter(loop.queue.times.is_quick, chosen)]

    def reserve(self, waiting: Sequence[tuple[str, int | None]], wanted: Mapping[str, Sequence[int]]) -> dict[str, int]:
        loop = self._loop
        if loop is None or not loop.accepts:
            return {}
        return loop.queue.places.reserve(waiting, loop.capacity.free_slots(waiting), wanted)

    def give_back(self, granted: Mapping[str, int], size: int) -> None:
        loop = self._loop
        if loop is not None:
            loop.queue.places.leave(granted, size)

    def hand_back(self, origins: Collection[str]) -> None:
        loop = self._loop
        if loop is not None:
            loop.queue.hand_back(origins)

    def unheard(self, granted: Mapping[str, int], size: int, requests: Sequence[Owed], until: datetime) -> None:
        self.give_back(granted, size)
        loop = self._loop
        if requests and loop is not None:
            loop.release_unheard([owed.id for owed in requests], until)

    def note_backlog(self, origins: Collection[str]) -> None:
        loop = self._loop
        if loop is not None:
            loop.capacity.note_backlog(origins)

    def committed(self, requests: Sequence[Owed], until: datetime, pending: Collection[str]) -> None:
        if requests and not self._send(requests, until):
            self._release(requests, until)
        loop = self._loop
        if pending and loop is not None:
            # Again: a claim that began before the commit has not seen them.
            loop.capacity.note_backlog(pending)
            loop.wake()
        if loop is not None:
            loop.queue.places.wait({*pending, *(owed.origin for owed in requests)})

    def _send(self, requests: Sequence[Owed], until: datetime) -> bool:
        """Hand requests to the loop. Return False if it stops, or if the transaction took most of the lease."""
        needed = timedelta(seconds=self._options.client.deadline_seconds) + LEAST_LEASE_MARGIN
        spare = (until - self._clock() - needed).total_seconds()
        loop = self._loop
        return loop is not None and spare >= 0 and loop.queue.put(requests, spare)

    def _release(self, requests: Sequence[Owed], until: datetime) -> None:
        """Return deliveries to the queue that this sender does not send, without counting an attempt."""
        loop = self._loop
        if loop is not None:
            loop.queue.places.leave(Counter(owed.origin for owed in requests), sum(len(owed.body) for owed in requests))
        try:
            self._store.release([owed.id for owed in requests], until)
        except Exception as error:
            # They are pending again when their leases run out.
            log.error("sender_database_error", error=type(error).__name__, unrecorded=len(requests))
