"""A micro-batch where it is run: its items processed, and what is chained to those that advanced published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pipeline.broker import messages
from pipeline.domain.item import Stage
from pipeline.execution.record import Settled, Settlement
from pipeline.execution.record_thread import Settle
from pipeline.execution.sql.releases import Ref
from workers.engine.stage_engine import StageEngine


class Nudge(NamedTuple):
    """A message: which release of which item, under which task id, and the signatures that follow, next one last."""

    item: int
    epoch: int
    task_id: str
    root_id: str | None
    chain: list[dict[str, Any]] | None


def run(processing: StageEngine, stage: Stage, nudges: Sequence[Nudge], settle: Settle) -> None:
    """Process a micro-batch; returns when what is quick is done. `settle` hears of every item once, in groups."""
    refs = dict.fromkeys(Ref(nudge.item, nudge.epoch) for nudge in nudges)
    processing.process(stage, list(refs), following(processing, nudges, settle))


def following(processing: StageEngine, nudges: Sequence[Nudge], settle: Settle) -> Settle:
    """Return a `settle` that publishes what is chained to items that advanced, and then calls the one given."""
    # Of two messages about one item, the one of the later release is the one that can have advanced it.
    newest = {nudge.item: nudge for nudge in sorted(nudges, key=lambda nudge: nudge.epoch)}

    def hear(settled: Mapping[int, Settled]) -> None:
        advanced = [newest[item] for item, how in settled.items() if how.end is Settlement.ADVANCED]
        processing.publish([_next(nudge) for nudge in advanced if nudge.chain])
        settle(settled)

    return hear


def _next(nudge: Nudge) -> messages.Task:
    chain = nudge.chain or []
    return messages.follow(chain[-1], chain[:-1], root_id=nudge.root_id, parent_id=nudge.task_id)
