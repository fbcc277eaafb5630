"""Tasks that wake the dispatcher and the sweeps."""

from __future__ import annotations

from workers.app import app
from workers.engine.engine import running_engine
from workers.receive.inline_task import InlineTask


@app.task(name="control.dispatch", base=InlineTask, bind=True)
def dispatch(self: InlineTask) -> None:
    """Wake the dispatcher."""
    running_engine(self.app).wake_dispatch()


@app.task(name="control.sweep", base=InlineTask, bind=True)
def sweep(self: InlineTask) -> None:
    """Wake the sweeps."""
    running_engine(self.app).look_for_lost()
