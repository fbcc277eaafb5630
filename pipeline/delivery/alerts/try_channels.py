"""Send an example to channels, now, to see whether they take it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.alerts.alerts_source import AlertsSource
from pipeline.alerts.rules.channel import AlertChannel
from pipeline.alerts.rules.episode import Severity, new_alert_id
from pipeline.alerts.rules.message import AlertEventType, alert_body
from pipeline.context import Context
from pipeline.delivery.alerts.send_now import DirectSender
from pipeline.delivery.rules.delivery import Answer
from pipeline.domain.did_you_mean import hint
from pipeline.domain.ids import WEBHOOK_PREFIX
from pipeline.errors import InvalidInput, NotFound

#: Name of the rule that examples have.
EXAMPLE = "pipeline_test"


@dataclass(frozen=True, slots=True)
class Tried:
    """What a channel answered to an example."""

    channel: str
    event_type: AlertEventType
    answer: Answer


def choose_channels(source: AlertsSource, name: str | None) -> Sequence[AlertChannel]:
    """Return the channel of a name, or all.

    Raises:
        InvalidInput: there is no file, or no channel in it.
        NotFound: there is no channel of this name.
    """
    channels = source.current().channels
    if not channels:
        raise InvalidInput("there is no channel to test; write [channels.NAME] in the file that PIPELINE_ALERTS names")
    if name is None:
        return list(channels.values())
    if name not in channels:
        raise NotFound(f"there is no channel {name!r}{hint(name, channels)}")
    return [channels[name]]


def try_channels(context: Context, source: AlertsSource, name: str | None) -> list[Tried]:
    """Send to channels that an example fires and that it is over. Nothing is stored.

    Args:
        name: of the channel; None: all.
    """
    channels = choose_channels(source, name)
    sender = DirectSender(context.settings.secrets, context.now)
    now = context.now()
    row = {
        "public_id": new_alert_id(),
        "name": EXAMPLE,
        "key": EXAMPLE,
        "severity": Severity.INFO.value,
        "summary": f"a test by {context.actor}: nothing is wrong",
        "batch": None,
        "definition": None,
        "origin": None,
        "value": "{}",
        "opened_at": now,
        "resolved_at": now,
        "reason": "test",
    }
    tried = []
    for event_type in AlertEventType:
        body = alert_body(row, event_type, context.now(), source.current().page_url)
        answers = sender.send(channels, body, WEBHOOK_PREFIX + secrets.token_hex(14))
        tried += [Tried(each.name, event_type, answers[each.name]) for each in channels]
    return tried
