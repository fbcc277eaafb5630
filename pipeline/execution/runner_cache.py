"""Cache of built definitions: classifiers and enrichers are loaded once per process."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import NamedTuple

from pipeline.batches.sql import batches
from pipeline.batches.sql import definitions as stored_definitions
from pipeline.context import Context
from pipeline.database.retry import retrying
from pipeline.database.row import Row
from pipeline.database.trouble import log_failure
from pipeline.definitions import Definition, build_runner, build_steps, from_content
from pipeline.domain.item import Stage
from pipeline.errors import PipelineError
from pipeline.execution.breaker_board import BreakerBoard
from pipeline.log import get_logger
from pipeline.stages.catalog.step import Step
from pipeline.stages.run.executor import Executor
from pipeline.stages.run.runner import StageRunner
from pipeline.stages.run.step_breaker import with_breaker
from pipeline.telemetry.traceparent import TraceContext, parse_traceparent

log = get_logger(__name__)

#: Batches whose definition is remembered. The oldest are dropped first.
MAX_BATCHES = 10_000
#: Definitions that stay built. The least recently used are dropped first, since models may be large.
MAX_DEFINITIONS = 32

Built = dict[Stage, StageRunner | PipelineError]


@dataclass(frozen=True, slots=True)
class Work:
    """What running a batch's items needs.

    Args:
        runners: the runner of each stage, or the error with which it could not be built.
        definition_id: the row of the definition.
        submission: the span that submitted the batch.
        submitted_at: when that was.
    """

    public_id: str
    definition: Definition
    runners: Built
    definition_id: int
    submission: TraceContext | None = None
    submitted_at: datetime | None = None


class _Batch(NamedTuple):
    """What is remembered of a batch."""

    public_id: str
    definition_id: int
    submission: TraceContext | None
    submitted_at: datetime

    @classmethod
    def of(cls, row: Row) -> _Batch:
        traceparent = row["traceparent"]
        submission = None if traceparent is None else parse_traceparent(traceparent)
        return cls(row["public_id"], row["definition_id"], submission, row["created_at"])

    def work(self, definition: Definition, runners: Built) -> Work:
        return Work(self.public_id, definition, runners, self.definition_id, self.submission, self.submitted_at)


class RunnerCache:
    """Builds each definition once, so that batches with the same definition share its model.

    A model may take seconds to load, so it is loaded on a separate thread and no other batch waits for it.

    Args:
        stopping: once set, stop waiting for an unreachable database.
    """

    def __init__(
        self,
        context: Context,
        executor: Executor,
        breakers: BreakerBoard,
        *,
        stopping: threading.Event | None = None,
    ) -> None:
        self._stopping = stopping
        self._breakers = breakers
        self._context = context
        self._executor = executor
        self._lock = threading.Lock()
        self._of_batch: OrderedDict[int, _Batch] = OrderedDict()
        self._of_definition: OrderedDict[int, tuple[Definition, Built]] = OrderedDict()
        self._reported: set[tuple[str, Stage]] = set()
        self._waiting: dict[int, list[tuple[int, Ready]]] = {}

    def when_ready(self, batch_id: int, ready: Ready) -> None:
        """Call `ready` with the work of a batch: now, or from another thread once it is built.

        If the definition cannot be read, `ready` gets the error. An unreachable database is retried first.
        """
        work = self._known(batch_id)
        if work is not None:
            ready(work)
            return
        try:
            batch = self._read_batch(batch_id)
        except Exception as error:
            ready(error)
            return
        self._remember(batch)
        work = self._known(batch_id)
        if work is not None:
            ready(work)
            return
        with self._lock:
            is_first = batch["definition_id"] not in self._waiting
            self._waiting.setdefault(batch["definition_id"], []).append((batch_id, ready))
        if is_first:
            threading.Thread(target=self._build, args=(batch,), name="pipeline-build", daemon=True).start()

    def _build(self, batch: Row) -> None:
        definition_id = batch["definition_id"]
        try:
            known = self._built(definition_id)
            if not any(isinstance(runner, PipelineError) for runner in known[1].values()):
                # A failed definition is built again for the next list: a missing file may be back by then.
                self._keep(definition_id, known)
            self._hand_out(definition_id, lambda batch_id: self._work_of(batch_id, known))
        except Exception as error:
            log_failure(log, "definition_not_readable", error, definition=batch["definition"])
            unreadable = error
            self._hand_out(definition_id, lambda _: unreadable)

    def _hand_out(self, definition_id: int, answer: Callable[[int], Work | Exception]) -> None:
        with self._lock:
            waiting = self._waiting.pop(definition_id, [])
        for batch_id, ready in waiting:
            work: Work | Exception
            try:
                work = answer(batch_id)
            except Exception as error:
                # Passed on too: otherwise the leases of these items would be renewed forever.
                work = error
            try:
                ready(work)
            except Exception:
                log.exception("build_not_taken", batch_row=batch_id)

    def _built(self, definition_id: int) -> tuple[Definition, Built]:
        def read() -> dict[str, object]:
            with self._context.database.read() as connection:
                return stored_definitions.load_content(connection, definition_id)

        definition = from_content(retrying(read, patience=self._context.lease, stopping=self._stopping))
        return definition, {stage: self._runner(definition_id, definition, stage) for stage in definition.stages}

    def _runner(self, definition_id: int, definition: Definition, stage: Stage) -> StageRunner | PipelineError:
        try:
            prepared = self._context.prepared.get((definition.version, stage), ())
            steps = prepared or build_steps(definition, stage)
            if stage is Stage.ENRICH:
                steps = self._with_breakers(definition_id, definition, steps)
            return build_runner(definition, stage, self._executor, steps)
        except PipelineError as error:
            # Each list of items tries again; log the error once.
            if (definition.version, stage) in self._reported:
                return error
            self._reported.add((definition.version, stage))
            # The text of an error with a cause quotes what another one said, such as a user's module.
            cause = error.__cause__
            text = str(error) if cause is None else f"{type(error).__name__}: {type(cause).__name__}"
            log.warning("definition_not_runnable", definition=definition.name, stage=stage.value, error=text)
            return error

    def _with_breakers(self, definition_id: int, definition: Definition, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        breaker = partial(self._breakers.breaker, definition_id, definition.name)
        return tuple(
            with_breaker(step, breaker(step.name)) if spec.breaker else step
            for step, spec in zip(steps, definition.enrich, strict=True)
        )

    def _work_of(self, batch_id: int, known: tuple[Definition, Built]) -> Work:
        return _Batch.of(self._read_batch(batch_id)).work(*known)

    def _read_batch(self, batch_id: int) -> Row:
        def read() -> Row:
            with self._context.database.read() as connection:
                return batches.find_by_ids(connection, [batch_id])[0]

        return retrying(read, patience=self._context.lease, stopping=self._stopping)

    def _known(self, batch_id: int) -> Work | None:
        """Return the work of a batch if it is cached."""
        with self._lock:
            known = self._of_batch.get(batch_id)
            if known is None or known.definition_id not in self._of_definition:
                return None
            self._of_definition.move_to_end(known.definition_id)
            return known.work(*self._of_definition[known.definition_id])

    def _remember(self, batch: Row) -> None:
        with self._lock:
            self._of_batch[batch["id"]] = _Batch.of(batch)
            while len(self._of_batch) > MAX_BATCHES:
                self._of_batch.popitem(last=False)

    def _keep(self, definition_id: int, built: tuple[Definition, Built]) -> None:
        with self._lock:
            self._of_definition[definition_id] = built
            while len(self._of_definition) > MAX_DEFINITIONS:
                self._of_definition.popitem(last=False)


#: Receives the work of a batch, or the error with which it could not be built.
Ready = Callable[[Work | Exception], None]
