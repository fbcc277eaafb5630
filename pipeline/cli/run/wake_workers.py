"""Waking workers when there is new work."""

from __future__ import annotations

from pipeline.cli.show.output import Messages
from pipeline.context import Context


def wake_workers(context: Context, messages: Messages) -> None:
    """Wake the dispatcher through the broker, if one is set. Without the wake-up, work only starts later."""
    if context.settings.is_embedded:
        return
    # Imported here: Celery takes long to import.
    from pipeline.broker.publisher import wake_dispatcher

    if not wake_dispatcher(context.settings):
        messages.warn("the broker does not respond; work starts when it is back")
