"""Alerts: how severe they are, and whether they fire."""

from __future__ import annotations

from enum import StrEnum


class Severity(StrEnum):
    """How urgent an alert is."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


class AlertState(StrEnum):
    """The state of an alert: `firing → resolved`."""

    FIRING = "firing"
    RESOLVED = "resolved"
