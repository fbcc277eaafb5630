"""What the micro-batches of one process share: runners, the record thread, and the leases to renew."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

from pipeline.context import Context
from pipeline.domain.payload import MAX_PAYLOAD_BYTES
from pipeline.domain.portions import PORTION_BYTES
from pipeline.execution.record_thread import RecordThread
from pipeline.execution.runner_cache import RunnerCache
from pipeline.execution.sql.releases import Ref
from pipeline.execution.stop_gate import StopGate
from pipeline.stages.run.executor import Executor

#: Bytes of payloads and results under way from which a process claims no more items.
MAX_BYTES = 8 * PORTION_BYTES


class StageRuntime:
    """The parts that run stages in a process, from its start to its stop. Thread-safe."""

    def __init__(self, context: Context, executor: Executor, recorder: RecordThread) -> None:
        self.context = context
        self.stop_gate = StopGate()
        self.runners = RunnerCache(context, executor, stopping=self.stop_gate.closed)
        self.recorder = recorder
        # By release, not by item: an item that lost its lease may run here twice, and only one of the two finishes.
        # With the bytes of its payload and its result.
        self._under_way: dict[Ref, int] = {}
        self._bytes = 0
        self._bytes_changed = threading.Condition()
        #: Mean bytes of a payload in the latest claim; at first as large as they usually may be.
        self._payload_bytes = MAX_PAYLOAD_BYTES

    def close(self) -> None:
        """Begin nothing more. Items under way go on."""
        self.stop_gate.closed.set()
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
