"""Definitions made runnable, once per process."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

from pipeline.definitions import Definition, from_content
from pipeline.domain.item import Stage
from pipeline.errors import PipelineError
from pipeline.log import get_logger
from pipeline.services.context import Context
from pipeline.stages.executor import Executor
from pipeline.stages.runner import StageRunner
from pipeline.storage import batches as stored_batches
from pipeline.storage import definitions as stored_definitions

log = get_logger(__name__)

#: Batches whose definition is remembered; the oldest are forgotten first.
BATCHES_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class Work:
    """What a batch's items need: the batch's public id, its definition, and the runner of each stage.

    A runner that could not be built is the error instead.
    """

    public_id: str
    definition: Definition
    runners: dict[Stage, StageRunner | PipelineError]


class Runners:
    """Builds each definition once; batches of one definition share its model."""

    def __init__(self, context: Context, executor: Executor) -> None:
        self._context = context
        self._executor = executor
        self._lock = threading.Lock()
        self._of_batch: OrderedDict[int, Work] = OrderedDict()
        self._of_definition: dict[int, tuple[Definition, dict[Stage, StageRunner | PipelineError]]] = {}

    def of(self, batch_id: int) -> Work:
        """Return what the items of a batch need."""
        work = self._of_batch.get(batch_id)
        if work is not None:
            return work
        with self._lock:
            work = self._of_batch.get(batch_id) or self._read(batch_id)
            self._of_batch[batch_id] = work
            while len(self._of_batch) > BATCHES_KEPT:
                self._of_batch.popitem(last=False)
            return work

    def _read(self, batch_id: int) -> Work:
        with self._context.database.read() as connection:
            batch = stored_batches.by_ids(connection, [batch_id])[0]
            known = self._of_definition.get(batch["definition_id"])
            content = None if known else stored_definitions.content(connection, batch["definition_id"])
        if known is None:
            definition = from_content(content or {})
            known = (definition, {Stage(name): self._build(definition, Stage(name)) for name in definition.stages})
            if not any(isinstance(runner, PipelineError) for runner in known[1].values()):
                # What failed is built again for the next batch: a missing file may be back by then.
                self._of_definition[batch["definition_id"]] = known
        return Work(batch["public_id"], *known)

    def _build(self, definition: Definition, stage: Stage) -> StageRunner | PipelineError:
        try:
            return definition.runner(stage, self._executor)
        except PipelineError as error:
            log.warning("definition_not_runnable", definition=definition.name, stage=stage.value, error=str(error))
            return error
