"""The event loop of a sender: record answers, claim due deliveries, post them, repeat."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import TypeVar

from pipeline.database.trouble import is_due, report
from pipeline.delivery.claim import Claim
from pipeline.delivery.rules.delivery import Owed, Sent
from pipeline.delivery.sender.clients import DeliveryClient
from pipeline.delivery.sender.in_flight import InFlight
from pipeline.delivery.sender.send_queue import SendQueue
from pipeline.delivery.sender.store import DeliveryStore
from pipeline.delivery.webhook.options import SenderOptions
from pipeline.errors import Unreachable
from pipeline.log import get_logger

log = get_logger(__name__)
T = TypeVar("T")

#: Wait after a database error, doubled each time. Answers wait too, while their leases run.
FIRST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS = 0.5, 5.0
#: Concurrent DNS lookups. A name server that hangs occupies one of these threads.
LOOKUP_THREADS = 32


class SendLoop:
    """Sends from the thread that calls `run`. `wake` and `ask_to_stop` may be called from any thread."""

    def __init__(
        self,
        ledger: DeliveryStore,
        connect: Callable[[], DeliveryClient],
        options: SenderOptions,
        clock: Callable[[], datetime],
        on_sent: Callable[[Sent], None] | None = None,
    ) -> None:
        """Prepare to send. `on_sent`, if given, is called with every attempt, and must not wait."""
        self._on_sent = on_sent
        self._ledger = ledger
        self._connect = connect
        self._options = options
        self._clock = clock
        self.capacity = InFlight(options.total, options.per_endpoint, options.per_target)
        self._loop = asyncio.new_event_loop()
        self._store = ThreadPoolExecutor(1, thread_name_prefix="sender-store")
        self._signal = asyncio.Event()
        self._stopping = asyncio.Event()
        self._woken = False
        #: Whether to claim in the next round, and when to claim without another reason.
        self._is_claim_due = True
        self._claim_at = 0.0
        #: Preclaimed requests. Closed before the last round, so that none is forgotten.
        self.queue = SendQueue(
            self._loop, self.capacity, post=self._post, most=self._answers_left, return_soon=self._signal.set
        )
        #: Deliveries that exist if a commit took effect whose answer was lost: their ids, and the end of their lease.
        self._unheard: deque[tuple[Sequence[int], datetime]] = deque()
        self._stop_at = float("inf")
        self._posts: set[asyncio.Task[Sent]] = set()
        self._answered: list[Sent] = []
        self._timer: asyncio.TimerHandle | None = None
        self._errors = 0

    def run(self) -> None:
        """Send until `ask_to_stop` is called."""
        # Not asyncio.run, which would wait for DNS lookups that hang.
        self._loop.set_default_executor(ThreadPoolExecutor(LOOKUP_THREADS, thread_name_prefix="sender-lookup"))
        try:
            self._loop.run_until_complete(self._main())
        finally:
            self.queue.close()
            self._loop.close()
            self._store.shutdown(wait=False)

    def wake(self) -> None:
        # If the flag is still set, the next claim reads what the caller committed: it clears the flag first.
        if not self._woken:
            self._woken = True
            self._call(self._signal.set)

    @property
    def accepts(self) -> bool:
        """Whether deliveries may be preclaimed."""
        return self.queue.is_open and self._answers_left() > 0

    def _answers_left(self) -> int:
        # Answers that cannot be recorded hold no slot, but memory.
        return self._options.total - len(self._answered)

    def release_unheard(self, ids: Sequence[int], until: datetime) -> None:
        """Make deliveries pending again soon, if they exist under a lease that ends at `until`."""
        self._unheard.append((ids, until))
        self.wake()

    def ask_to_stop(self, timeout: float) -> None:
        self.queue.close()
        self._stop_at = time.monotonic() + timeout
        self._call(self._stopping.set)
        self._call(self._signal.set)

    def _call(self, function: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(function)

    async def _main(self) -> None:
        self._client = self._connect()
        try:
            self.queue.open()
            while not self._stopping.is_set():
                claim = await self._guarded(self._cycle) or Claim()
                if not claim.has_more:
                    await self._wait(self._claim_at - time.monotonic())
            await self._wind_down()
        finally:
            await self._client.close()

    async def _cycle(self) -> Claim:
        self._is_claim_due |= self._woken
        self._woken = False
        self._signal.clear()
        await self._record()
        await self._release_unheard()
        await self._release_returned()
        is_due = self._is_claim_due or self.capacity.has_backlog or time.monotonic() >= self._claim_at
        return await self._claim() if is_due and not self._stopping.is_set() else Claim()

    async def _claim(self) -> Claim:
        room = self.capacity.begin_claim()
        self._claim_at = time.monotonic() + self._options.poll_seconds
        # Until it has succeeded.
        self._is_claim_due = True
        if room.free == 0:
            return Claim()
        try:
            claim = await self._stored(lambda: self._ledger.claim(room, self.capacity.hold))
        except BaseException:
            self.capacity.end_claim()
            raise
        self.capacity.end_claim((owed.origin for owed in claim.owed), claim.backlog)
        for owed in claim.owed:
            self._post(owed)
        self.queue.schedule_start()
        self._is_claim_due = claim.has_more
        self._claim_at = time.monotonic() + self._until(claim.next_at)
        return claim

    async def _release_unheard(self) -> None:
        while self._unheard:
            ids, until = self._unheard[0]
            await self._stored(partial(self._ledger.release, ids, until))
            # Kept until then: the database that did not answer may not be back yet.
            self._unheard.popleft()

    async def _record(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        answered = self._answered[:]
        if answered:
            await self._stored(lambda: self._ledger.record(answered))
            # Kept until the commit: after a database error they are recorded again, or their leases run out.
            del self._answered[: len(answered)]
        for sent in answered:
            # A retry may be due soon, or the next delivery of a lane. The success of a preclaimed one changes nothing.
            self._is_claim_due |= not (sent.owed.is_preclaimed and sent.answer.is_plain_success)
            if not sent.answer.is_plain_success:
                # Not earlier: until then, no deliveries to an endpoint that asked to wait may be claimed.
                self.capacity.leave(sent.owed, sent.answer)
        self.queue.schedule_start()

    async def _release_returned(self) -> None:
        returned = self.queue.returned[:]
        if returned:
            self.capacity.note_backlog({owed.origin for owed in returned})
            await self._stored(lambda: self._ledger.release([owed.id for owed in returned]))
            del self.queue.returned[: len(returned)]

    def _post(self, owed: Owed) -> None:
        post = self._loop.create_task(self._attempt(owed))
        self._posts.add(post)
        post.add_done_callback(self._posted)

    async def _attempt(self, owed: Owed) -> Sent:
        started_at = self._clock()
        answer = await self._client.post(owed, started_at)
        return Sent(owed, answer, started_at, self._clock())

    def _posted(self, post: asyncio.Task[Sent]) -> None:
        self._posts.discard(post)
        if not post.cancelled():
            sent = post.result()
            self._answered.append(sent)
            if self._on_sent is not None:
                self._on_sent(sent)
            if sent.answer.is_plain_success:
                # Its slot is free while it is recorded. The number of unrecorded answers stays bounded, because
                # there is one claim between two records, and nothing is preclaimed while too many wait.
                self.capacity.leave(sent.owed, sent.answer)
            self.queue.hear(sent)
            self.queue.schedule_start()
            self._gather()

    def _gather(self) -> None:
        """Schedule recording: at once if as many answers wait as are still in flight, soon otherwise."""
        if len(self._answered) >= min(self._options.group, len(self._posts)):
            self._signal.set()
        elif self._timer is None:
            self._timer = self._loop.call_later(self._options.group_seconds, self._signal.set)

    async def _wind_down(self) -> None:
        self.queue.give_up()
        await self._guarded(self._release_returned)
        while (self._posts or self._answered) and self._stop_at > time.monotonic():
            self._signal.clear()
            await self._guarded(self._record)
            if self._posts:
                await self._wait(self._stop_at - time.monotonic())
        posts = tuple(self._posts)
        for post in posts:
            post.cancel()
        await asyncio.gather(*posts, return_exceptions=True)
        await self._guarded(self._record)
        await self._guarded(lambda: self._stored(self._ledger.release))

    async def _guarded(self, action: Callable[[], Awaitable[T]]) -> T | None:
        """Run an action that uses the database. Its errors are not the receiver's, so they do not count as attempts."""
        try:
            result = await action()
        except Exception as error:
            self._report(error)
            await self._back_off()
            return None
        self._errors = 0
        return result

    def _report(self, error: Exception) -> None:
        if isinstance(error, Unreachable):
            report(error)
            if not is_due(f"sender_database_error {error}"):
                return
        log.error("sender_database_error", error=type(error).__name__, unrecorded=len(self._answered))

    async def _back_off(self) -> None:
        seconds = min(FIRST_BACKOFF_SECONDS * 2.0**self._errors, LONGEST_BACKOFF_SECONDS)
        self._errors = min(self._errors + 1, 10)
        left = self._stop_at - time.monotonic()
        with suppress(TimeoutError):
            async with asyncio.timeout(min(seconds, max(left, 0))):
                # While winding down, the flag is set already, so only the remaining time bounds the wait.
                await (asyncio.sleep(seconds) if self._stopping.is_set() else self._stopping.wait())

    def _until(self, next_at: datetime | None) -> float:
        if next_at is None:
            return self._options.poll_seconds
        return min(self._options.poll_seconds, (next_at - self._clock()).total_seconds())

    async def _wait(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(max(seconds, 0)):
                await self._signal.wait()

    async def _stored(self, work: Callable[[], T]) -> T:
        return await self._loop.run_in_executor(self._store, work)
