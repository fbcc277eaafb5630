"""What the micro-batches of one process share: runners, the record thread, and the leases to renew."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from pipeline.batches.sql import batches
from pipeline.context import Context
from pipeline.domain.batch import BatchState
from pipeline.domain.payload import MAX_PAYLOAD_BYTES
from pipeline.domain.portions import PORTION_BYTES
from pipeline.execution.breaker_board import BreakerBoard
from pipeline.execution.item_traces import ItemTraces
from pipeline.execution.record_thread import RecordThread
from pipeline.execution.runner_cache import RunnerCache
from pipeline.execution.sql.releases import Ref
from pipeline.execution.stop_gate import StopGate
from pipeline.stages.run.executor import Executor

#: Bytes of payloads and results under way from which a process claims no more items.
MAX_BYTES = 8 * PORTION_BYTES


class StageRuntime:
    """The parts that run stages in a process, from its start to its stop. Thread-safe."""

    def __init__(
        self, context: Context, executor: Executor, recorder: RecordThread, traces: ItemTraces | None = None
    ) -> None:
        """Prepare the parts. `traces` is None where no traces are sent."""
        self.context = context
        self.traces = traces
        self.stop_gate = StopGate()
        self.breakers = BreakerBoard(context)
        self.runners = RunnerCache(context, executor, self.breakers, stopping=self.stop_gate.closed)
        self.recorder = recorder
        # By release, not by item: an item that lost its lease may run here twice, and only one of the two finishes.
        # With the bytes of its payload and its result.
        self._under_way: dict[Ref, int] = {}
        self._bytes = 0
        self._bytes_changed = threading.Condition()
        #: Mean bytes of a payload in the latest claim; at first as large as they usually may be.
        self._payload_bytes = MAX_PAYLOAD_BYTES
        settings = context.settings
        # As many as the messages that a worker takes from the broker ahead.
        self._free_places = 2 * settings.batch_items * settings.concurrency
        self._places_changed = threading.Lock()
        self._held_batches: frozenset[int] = frozenset()
        self._soon = ThreadPoolExecutor(settings.concurrency, thread_name_prefix="pipeline-continue")

    def close(self) -> None:
        """Begin nothing more. Items under way go on."""
        self.stop_gate.closed.set()
        self._soon.shutdown(wait=False)
        with self._bytes_changed:
            self._bytes_changed.notify_all()

    def is_claiming(self) -> bool:
        """Return whether items are being claimed; a moment later, they are under way."""
        return self.stop_gate.is_in_use()

    def under_way(self) -> list[Ref]:
        """Return the items claimed here and not finished yet: those whose leases are renewed.

        Items lost to an error inside pipeline are not among them, so that their leases run out.
        """
        return list(self._under_way)

    def wait_for_room(self) -> int:
        """Wait while the items under way take too much memory. Return how many more to claim at once.

        Nothing that is under way needs the thread that waits. Large payloads only: small ones never take that much.
        """
        with self._bytes_changed:
            self._bytes_changed.wait_for(lambda: self._bytes < MAX_BYTES or self.stop_gate.closed.is_set())
        return max(PORTION_BYTES // self._payload_bytes, 1)

    def start_renewing(self, payload_bytes: Mapping[Ref, int]) -> None:
        """Renew the leases of these items from now on. Their payloads take so many bytes each."""
        if not payload_bytes:
            return
        total = sum(payload_bytes.values())
        self._payload_bytes = max(total // len(payload_bytes), 1)
        with self._bytes_changed:
            self._under_way.update(payload_bytes)
            self._bytes += total

    def add_results(self, result_bytes: Mapping[Ref, int]) -> None:
        """Note that items have results of so many bytes, which are kept until they are recorded."""
        with self._bytes_changed:
            for ref, size in result_bytes.items():
                if ref in self._under_way:
                    self._under_way[ref] += size
                    self._bytes += size

    def stop_renewing(self, refs: Iterable[Ref]) -> None:
        """Stop renewing the leases of these items."""
        with self._bytes_changed:
            self._bytes -= sum(self._under_way.pop(ref, 0) for ref in refs)
            self._bytes_changed.notify_all()

    def take_places(self, batch_id: int, wanted: int) -> int:
        """Take places for items of a batch that go on to the next stage in this process. Return how many there are.

        There are none once the runtime is closed, or for a batch that is paused or cancelled.
        """
        if not wanted or self.stop_gate.closed.is_set() or batch_id in self._held_batches:
            return 0
        with self._places_changed:
            taken = min(wanted, self._free_places)
            self._free_places -= taken
        return taken

    def give_back_places(self, number: int) -> None:
        """Give back places that `take_places` returned."""
        with self._places_changed:
            self._free_places += number

    def run_soon(self, function: Callable[[], None]) -> bool:
        """Run a function on another thread; return False if the runtime is closed."""
        try:
            self._soon.submit(function)
        except RuntimeError:
            return False
        return True

    def look_for_held_batches(self) -> None:
        """Find open breakers, and batches that are paused or cancelled: their items do not go on to the next stage."""
        self.breakers.synchronise(is_busy=bool(self._under_way))
        if not self._under_way:
            return
        with self.context.database.read() as connection:
            self._held_batches = frozenset(batches.find_open(connection, BatchState.PAUSED, BatchState.CANCELLED))
