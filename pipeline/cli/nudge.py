"""Tell the workers elsewhere that there is something to do."""

from __future__ import annotations

from kombu.exceptions import KombuError

from pipeline.broker import DISPATCH_TASK, Broker, sending_app
from pipeline.cli.output import Talk
from pipeline.services.context import Context


def nudge(context: Context, talk: Talk) -> None:
    """Wake the dispatcher of the workers, where a broker is set; what is stored does not depend on it."""
    if context.settings.is_embedded:
        return
    try:
        Broker(sending_app(context.settings)).nudge(DISPATCH_TASK)
    except (OSError, KombuError) as error:
        talk.warn(f"the broker does not answer ({type(error).__name__}); work begins when it is back")
