"""One task per item and stage. Their messages are gathered and run together; see `workers.receive.gather_messages`."""

from __future__ import annotations

from workers.app import app
from workers.receive.gather_messages import ItemTask


@app.task(name="items.classify", base=ItemTask, stage="classify", bind=True)
def classify(self: ItemTask, item: int, epoch: int) -> str:
    """Classify one released item."""
    return self.run_alone(item, epoch)


@app.task(name="items.enrich", base=ItemTask, stage="enrich", bind=True)
def enrich(self: ItemTask, item: int, epoch: int) -> str:
    """Enrich one released item."""
    return self.run_alone(item, epoch)
