"""One task per item and stage. Their messages are gathered and run together; see `workers.receive.gather_messages`."""

from __future__ import annotations

from workers.app import app
from workers.receive.gather_messages import ItemTask


@app.task(name="items.classify", base=ItemTask, stage="classify")
def classify(item: int, epoch: int) -> str:
    """Classify one released item."""
    return classify.run_alone(item, epoch)


@app.task(name="items.enrich", base=ItemTask, stage="enrich")
def enrich(item: int, epoch: int) -> str:
    """Enrich one released item."""
    return enrich.run_alone(item, epoch)
