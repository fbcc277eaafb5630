"""The task that wakes the sender."""

from __future__ import annotations

from workers.app import app
from workers.engine.engine import running_engine
from workers.receive.inline_task import InlineTask


@app.task(name="deliveries.send", base=InlineTask, bind=True)
def send(self: InlineTask) -> None:
    """Wake the sender."""
    running_engine(self.app).wake_sender()
