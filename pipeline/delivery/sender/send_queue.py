"""Preclaimed requests on their way to the sender's loop, and those that wait there for a slot."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

from pipeline.delivery.rules.delivery import Owed, Sent
from pipeline.delivery.sender.in_flight import InFlight
from pipeline.delivery.sender.queue_places import QueuePlaces
from pipeline.delivery.sender.response_times import ResponseTimes

#: How long a preclaimed request waits for a slot before it is pending like any other.
QUEUE_SECONDS = 2.0


class _Queued(NamedTuple):
    """A request, and the monotonic time by which it has to start."""

    owed: Owed
    start_by: float


class SendQueue:
    """Queues preclaimed requests by endpoint, first come first. Methods are for the loop's thread unless stated.

    Args:
        post: posts a request for which a slot was taken.
        most: returns how many requests may start now, apart from slots.
        return_soon: called when `returned` is no longer empty.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        slots: InFlight,
        *,
        post: Callable[[Owed], None],
        most: Callable[[], int],
        return_soon: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._slots = slots
        self._post = post
        self._most = most
        self._return_soon = return_soon
        self.times = ResponseTimes()
        self.places = QueuePlaces(self.times)
        self._inbox: deque[tuple[Sequence[Owed], float]] = deque()
        self._inbox_lock = threading.Lock()
        self.is_open = self._is_closed = False
        self._queues: dict[str, deque[_Queued]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._is_start_scheduled = False
        #: Requests that are not sent from here: they are to be pending again.
        self.returned: list[Owed] = []

    # --- any thread -----------------------------------------------------------------------------------------------

    def put(self, requests: Sequence[Owed], seconds: float) -> bool:
        """Send requests for which places are reserved. Return False if the queue is closed, and takes none of them.

        Args:
            seconds: how long they may wait for a slot at most; then they are pending again.
        """
        start_by = time.monotonic() + min(seconds, QUEUE_SECONDS)
        with self._inbox_lock:
            if not self.is_open:
                return False
            self._inbox.append((requests, start_by))
        self._call(self._empty_inbox)
        return True

    def hand_back(self, origins: Collection[str]) -> None:
        """Return what waits at these endpoints."""
        self._call(lambda: self.give_up(origins))

    def close(self) -> None:
        """Take no requests any more."""
        with self._inbox_lock:
            self.is_open, self._is_closed = False, True

    # --- the loop's thread ----------------------------------------------------------------------------------------

    def open(self) -> None:
        """Take requests from now on, unless the queue was closed meanwhile."""
        with self._inbox_lock:
            self.is_open = not self._is_closed

    def schedule_start(self) -> None:
        """Start requests soon, once for all answers that come together: slots or places in memory may be free."""
        if self._queues and not self._is_start_scheduled:
            self._is_start_scheduled = True
            self._loop.call_soon(self._start)

    def hear(self, sent: Sent) -> None:
        """Note an answer, which says how quick its endpoint is, and may concern what waits there."""
        origin, answer = sent.owed.origin, sent.answer
        if answer.is_plain_success:
            self.times.succeed(origin, (sent.ended_at - sent.started_at).total_seconds())
        elif self.times.fail(origin) or answer.is_for_endpoint:
            self.give_up([origin])

    def give_up(self, origins: Iterable[str] | None = None) -> None:
        """Return what waits at these endpoints, or at all, to the database."""
        given_up: list[Owed] = []
        for origin in list(self._queues) if origins is None else origins:
            given_up += [each.owed for each in self._queues.pop(origin, ())]
        if given_up:
            self._leave_places(given_up)
            self.returned += given_up
            self._return_soon()

    def _empty_inbox(self) -> None:
        # What is left in a closed inbox is handed back with everything else that the sender holds.
        while self._inbox and self.is_open:
            requests, start_by = self._inbox.popleft()
            for owed in requests:
                self._queues.setdefault(owed.origin, deque()).append(_Queued(owed, start_by))
        self._start()

    def _start(self) -> None:
        self._is_start_scheduled = False
        now = time.monotonic()
        self._give_up_late(now)
        started: list[Owed] = []
        most = self._most()
        for origin, queue in list(self._queues.items()):
            wanted = min(len(queue), most - len(started))
            count = self._slots.start(origin, queue[0].owed.in_flight_cap, wanted) if wanted > 0 else 0
            started += [queue.popleft().owed for _ in range(count)]
            if not queue:
                del self._queues[origin]
        self._leave_places(started)
        for owed in started:
            self._post(owed)
        self._set_timer(now)

    def _set_timer(self, now: float) -> None:
        if self._queues and self._timer is None:
            first = min(queue[0].start_by for queue in self._queues.values())
            self._timer = self._loop.call_later(first - now, self._start_by_timer)

    def _start_by_timer(self) -> None:
        self._timer = None
        self._start()

    def _give_up_late(self, now: float) -> None:
        """Return requests that should have started: the endpoint hangs, or this process is too slow."""
        late = [origin for origin, queue in self._queues.items() if queue[0].start_by < now]
        for origin in late:
            self.times.distrust(origin)
        self.give_up(late)

    def _leave_places(self, requests: Sequence[Owed]) -> None:
        if requests:
            self.places.leave(Counter(each.origin for each in requests), sum(len(each.body) for each in requests))

    def _call(self, function: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(function)
