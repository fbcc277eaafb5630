"""The nudge of the dispatcher."""

from __future__ import annotations

from workers.app import app
from workers.engine import running_engine


@app.task(name="control.dispatch")
def dispatch() -> None:
    """Release what may be released."""
    running_engine().wake_dispatch()
