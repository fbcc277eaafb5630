"""Children of the prefork pool: processes that run micro-batches, and may die of one without their parent."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.domain.item import Stage
from pipeline.services.record import Settled
from pipeline.storage.releases import Ref
from workers.engine import running_engine
from workers.follow import Nudge, following


def run_in_child(stage: str, nudges: Sequence[Nudge]) -> dict[int, Settled]:
    """Run a micro-batch in this process to its end, and return what became of each item.

    Every result is stored, and the next stage's message published, as soon as its item is done: only the
    acknowledgements wait for the last.
    """
    processing = running_engine().processing
    refs = dict.fromkeys(Ref(nudge.item, nudge.epoch) for nudge in nudges)
    hear = following(processing, nudges, lambda _: None)
    return processing.process_to_the_end(Stage(stage), list(refs), hear)
