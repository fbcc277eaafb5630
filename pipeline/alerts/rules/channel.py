"""Channels: where alerts are sent, in which format, and which of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from pipeline.alerts.rules.catalog import RULES
from pipeline.alerts.rules.episode import Severity

#: What a delivery to a channel has as its URL, before the channel's name. The channel's own URL is often a secret.
CHANNEL_PREFIX = "alert://"


class ChannelFormat(StrEnum):
    """What a channel takes."""

    #: A signed webhook, as callbacks are.
    WEBHOOK = "webhook"
    #: A message of Slack, and of what takes the same: Mattermost, Rocket.Chat.
    SLACK = "slack"
    #: An adaptive card for a Workflows webhook of Microsoft Teams.
    TEAMS = "teams"
    #: An event of PagerDuty's Events API v2.
    PAGERDUTY = "pagerduty"
    #: `POST /api/v2/alerts` of Prometheus Alertmanager.
    ALERTMANAGER = "alertmanager"
    #: An e-mail, through an SMTP server.
    EMAIL = "email"
    #: A program on the host of the sender.
    COMMAND = "command"


@dataclass(frozen=True, slots=True)
class AlertChannel:
    """One channel.

    Args:
        url: where it is; of a command empty. Never shown: it may be a secret.
        severities, rules, definitions: only alerts of these; empty: of all.
        headers: sent with each request.
        options: of its format: `routing_key`, `sender`, `to`.
        command: program and arguments.
        rate: most requests per second; None: no limit.
    """

    name: str
    format: ChannelFormat
    url: str = field(default="", repr=False)
    severities: Sequence[str] = ()
    rules: Sequence[str] = ()
    definitions: Sequence[str] = ()
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    command: Sequence[str] = field(default=(), repr=False)
    rate: float | None = None

    @property
    def origin(self) -> str:
        """The endpoint that deliveries to it have."""
        return CHANNEL_PREFIX + self.name

    def takes(self, name: str, severity: str, definition: str | None, origin: str | None) -> bool:
        """Return whether an alert is sent here. That it fails itself is told to the others."""
        return (
            origin != self.origin
            and (not self.severities or severity in self.severities)
            and (not self.rules or name in self.rules)
            and (not self.definitions or definition is None or definition in self.definitions)
        )


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A URL that is called as long as dispatching and rules work, for a service that notices when it is not.

    Args:
        every_seconds: seconds between two calls.
    """

    url: str = field(repr=False)
    every_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class RuleSettings:
    """What the file says about a rule.

    Args:
        thresholds: its settings; those that the file leaves out have their defaults.
    """

    is_enabled: bool
    severity: Severity
    thresholds: Mapping[str, float]


def _defaults() -> Mapping[str, RuleSettings]:
    return {name: RuleSettings(True, rule.severity, rule.settings) for name, rule in RULES.items()}


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """What `PIPELINE_ALERTS` says; without the file, all rules with their defaults and no channel.

    Args:
        page_url: where people reach the web page, for links in alerts.
    """

    channels: Mapping[str, AlertChannel] = field(default_factory=dict)
    rules: Mapping[str, RuleSettings] = field(default_factory=_defaults)
    heartbeat: Heartbeat | None = None
    page_url: str | None = None

    def looks_needed(self, name: str) -> int:
        """Return how many looks in a row a rule needs; names that are no rules need one."""
        return RULES[name].looks if name in RULES else 1


def channel_name(origin: str) -> str | None:
    """Return the channel that an endpoint is; None if it is none."""
    return origin.removeprefix(CHANNEL_PREFIX) if origin.startswith(CHANNEL_PREFIX) else None
