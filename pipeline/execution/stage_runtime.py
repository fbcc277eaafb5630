"""What the micro-batches of one process share: runners, the record thread, and the leases to renew."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.context import Context
from pipeline.execution.record_thread import RecordThread
from pipeline.execution.runner_cache import RunnerCache
from pipeline.execution.sql.releases import Ref
from pipeline.execution.stop_gate import StopGate
from pipeline.stages.run.executor import Executor


class StageRuntime:
    """The parts that run stages in a process, from its start to its stop. Thread-safe."""

    def __init__(self, context: Context, executor: Executor, recorder: RecordThread) -> None:
        self.context = context
        self.stop_gate = StopGate()
        self.runners = RunnerCache(context, executor, stopping=self.stop_gate.closed)
        self.recorder = recorder
        # By release, not by item: an item that lost its lease may run here twice, and only one of the two finishes.
        self._under_way: dict[Ref, None] = {}

    def close(self) -> None:
        """Begin nothing more. Items under way go on."""
        self.stop_gate.closed.set()

    def is_claiming(self) -> bool:
        """Return whether items are being claimed; a moment later, they are under way."""
        return self.stop_gate.is_in_use()

    def under_way(self) -> list[Ref]:
        """Return the items claimed here and not finished yet: those whose leases are renewed.

        Items lost to an error inside pipeline are not among them, so that their leases run out.
        """
        return list(self._under_way)

    def start_renewing(self, refs: Iterable[Ref]) -> None:
        """Renew the leases of these items from now on."""
        self._under_way.update(dict.fromkeys(refs))

    def stop_renewing(self, refs: Iterable[Ref]) -> None:
        """Stop renewing the leases of these items."""
        for ref in refs:
            self._under_way.pop(ref, None)
