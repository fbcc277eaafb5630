"""The formats of channels: what is sent to each, made from the body of an alert's event.

Slack: https://docs.slack.dev/messaging/formatting-message-text, Teams: adaptive cards 1.4, PagerDuty: Events API v2,
Alertmanager: API v2. Pure functions, so that every attempt sends the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson

from pipeline.alerts.rules.channel import AlertChannel, ChannelFormat
from pipeline.alerts.rules.message import AlertEventType
from pipeline.domain.event import format_timestamp

#: How long Alertmanager keeps an alert that it hears nothing more of.
ALERTMANAGER_KEEPS = timedelta(minutes=5)
#: Seconds after which an alert that fires is sent to Alertmanager again.
ALERTMANAGER_AGAIN_SECONDS = 60.0
#: Characters of a message to Slack.
_SLACK_TEXT = 3_000
#: Characters of a summary to PagerDuty.
_PAGERDUTY_SUMMARY = 1_024

_MARKS = {"critical": "\N{LARGE RED CIRCLE}", "error": "\N{LARGE ORANGE CIRCLE}", "warning": "\N{LARGE YELLOW CIRCLE}"}
_RESOLVED_MARK = "\N{WHITE HEAVY CHECK MARK}"
_COLOURS = {"critical": "attention", "error": "attention", "warning": "warning", "info": "accent"}


def request_body(channel: AlertChannel, body: bytes, now: datetime) -> bytes:
    """Return what is sent to a channel.

    Args:
        body: of the event about the alert.
        now: the time of the attempt, from which Alertmanager counts how long an alert lasts.
    """
    if channel.format in (ChannelFormat.WEBHOOK, ChannelFormat.COMMAND):
        return body
    event = orjson.loads(body)
    is_firing, data = event["type"] == AlertEventType.FIRING, event["data"]
    match channel.format:
        case ChannelFormat.SLACK:
            made: object = _slack(data, is_firing)
        case ChannelFormat.TEAMS:
            made = _teams(data, is_firing)
        case ChannelFormat.PAGERDUTY:
            made = _pagerduty(data, is_firing, channel.options["routing_key"])
        case ChannelFormat.ALERTMANAGER:
            made = alertmanager_alerts([data], now)
        case _:
            raise ValueError(f"{channel.format} is sent by its own client")
    return orjson.dumps(made)


def headline(data: Mapping[str, Any], is_firing: bool) -> str:
    """Return what an alert says in one line."""
    state = data["severity"].upper() if is_firing else "RESOLVED"
    return f"[{state}] {data['name']}: {data['summary']}"


def facts(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what an alert is about, as names and values for people."""
    named = [
        ("Batch", data["batch_id"]),
        ("Definition", data["definition"]),
        ("Stage", data["stage"]),
        ("Guard", data["guard"]),
        ("Endpoint", data["endpoint"]),
        ("Since", data["opened_at"]),
        ("Until", data["resolved_at"]),
        ("Reason", data["reason"]),
        ("Alert", data["alert_id"]),
    ]
    return [(name, str(value)) for name, value in named if value is not None]


def _slack(data: Mapping[str, Any], is_firing: bool) -> dict[str, Any]:
    mark = _MARKS.get(data["severity"], "\N{LARGE BLUE CIRCLE}") if is_firing else _RESOLVED_MARK
    text = _cut(f"{mark} {_slack_text(headline(data, is_firing))}", _SLACK_TEXT)
    lines = "\n".join(f"*{name}* {_slack_text(value)}" for name, value in facts(data))
    link = "" if data["url"] is None else f"\n<{data['url']}|Open>"
    return {
        "text": text,
        "blocks": [
            {"type": "section", "text": {"type": "mrkdwn", "text": text}},
            {"type": "section", "text": {"type": "mrkdwn", "text": _cut(lines, _SLACK_TEXT - len(link)) + link}},
        ],
    }


def _slack_text(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _teams(data: Mapping[str, Any], is_firing: bool) -> dict[str, Any]:
    colour = _COLOURS[data["severity"]] if is_firing else "good"
    title = {"type": "TextBlock", "size": "medium", "weight": "bolder", "wrap": True, "color": colour}
    card: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [
            title | {"text": headline(data, is_firing)},
            {"type": "FactSet", "facts": [{"title": name, "value": value} for name, value in facts(data)]},
        ],
    }
    if data["url"] is not None:
        card["actions"] = [{"type": "Action.OpenUrl", "title": "Open", "url": data["url"]}]
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}


def _pagerduty(data: Mapping[str, Any], is_firing: bool, routing_key: str) -> dict[str, Any]:
    event = {
        "routing_key": routing_key,
        "event_action": "trigger" if is_firing else "resolve",
        "dedup_key": data["alert_id"],
    }
    if not is_firing:
        return event
    payload = {
        "summary": _cut(f"{data['name']}: {data['summary']}", _PAGERDUTY_SUMMARY),
        "source": data["endpoint"] or data["batch_id"] or "pipeline",
        "severity": data["severity"],
        "timestamp": data["opened_at"],
        "component": data["stage"] or "pipeline",
        "group": data["definition"] or "pipeline",
        "class": data["name"],
        "custom_details": {name: data[name] for name in ("value", "errors", "items", "batch_id", "guard")},
    }
    links = [] if data["url"] is None else [{"href": data["url"], "text": "Open"}]
    return {**event, "client": "pipeline", "payload": payload, "links": links}


def alertmanager_alerts(found: Sequence[Mapping[str, Any]], now: datetime) -> list[dict[str, Any]]:
    """Return alerts as Alertmanager takes them: an alert that fires lasts until it is sent again, or is forgotten."""
    return [_alertmanager(data, now) for data in found]


def _alertmanager(data: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    named = {
        "alertname": data["name"],
        "severity": data["severity"],
        "batch": data["batch_id"],
        "definition": data["definition"],
        "stage": data["stage"],
        "endpoint": data["endpoint"],
        "source": "pipeline",
        # Two guards of a batch, or two hosts, are two alerts; the labels are what tells alerts apart.
        "key": data["key"],
    }
    alert: dict[str, Any] = {
        "labels": {name: str(value) for name, value in named.items() if value is not None},
        "annotations": {"summary": data["summary"], "alert_id": data["alert_id"]},
        "startsAt": data["opened_at"],
        # Written out at both ends: without an end, Alertmanager would choose one.
        "endsAt": data["resolved_at"] or format_timestamp(now + ALERTMANAGER_KEEPS),
    }
    return alert if data["url"] is None else alert | {"generatorURL": data["url"]}


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
