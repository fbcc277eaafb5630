"""Tasks that wake the dispatcher and the sweeps."""

from __future__ import annotations

from workers.app import app
from workers.engine.engine import running_engine
from workers.receive.inline_task import InlineTask


@app.task(name="control.dispatch", base=InlineTask)
def dispatch() -> None:
    """Wake the dispatcher."""
    running_engine().wake_dispatch()


@app.task(name="control.sweep", base=InlineTask)
def sweep() -> None:
    """Wake the sweeps."""
    running_engine().look_for_lost()
