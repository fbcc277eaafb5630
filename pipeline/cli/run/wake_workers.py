"""Tell the workers elsewhere that there is something to do."""

from __future__ import annotations

from pipeline.broker.messages import wake_dispatcher
from pipeline.cli.show.output import Talk
from pipeline.context import Context


def nudge(context: Context, talk: Talk) -> None:
    """Wake the dispatcher of the workers, where a broker is set; what is stored does not depend on it."""
    if context.settings.is_embedded:
        return
    if not wake_dispatcher(context.settings):
        talk.warn("the broker does not answer; work begins when it is back")
