"""The nudges of the dispatcher and the sweeps."""

from __future__ import annotations

from workers.app import app
from workers.engine.engine import running_engine
from workers.receive.inline_task import InlineTask


@app.task(name="control.dispatch", base=InlineTask)
def dispatch() -> None:
    """Release what may be released."""
    running_engine().wake_dispatch()


@app.task(name="control.sweep", base=InlineTask)
def sweep() -> None:
    """Look for what was lost."""
    running_engine().look_for_lost()
