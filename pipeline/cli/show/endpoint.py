"""One endpoint as the command line shows it: never a secret, never the value of a header."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from pipeline.cli.show.output import brief, cell, print_facts
from pipeline.cli.show.table import print_table
from pipeline.delivery.endpoint_secrets import Described, KnownSecret
from pipeline.delivery.endpoints import KnownEndpoint
from pipeline.delivery.rules.bundle import DEFAULT_WAIT
from pipeline.delivery.rules.delivery import DisabledReason
from pipeline.delivery.rules.endpoint_state import Condition, EndpointState
from pipeline.delivery.rules.rate import DEFAULT_BURST_SECONDS
from pipeline.delivery.sql.recent_successes import SCANNED_DELIVERIES
from pipeline.delivery.webhook.options import SenderOptions

origin = click.argument("origin", metavar="ORIGIN")

#: What can be configured, by the name of its option without the dashes in front.
SETTINGS = {
    "schedule": "schedule",
    "rate": "rate",
    "burst": "burst",
    "in-flight": "in_flight_cap",
    "ordered": "ordering",
    "max-block": "max_block_seconds",
    "coalesce": "coalesce_items",
    "coalesce-ms": "coalesce_ms",
}
#: What holds where nothing is configured, by option.
_DEFAULTS = {
    "schedule": "standard, unless the batch has another",
    "rate": "none, as many requests as are answered",
    "burst": f"{DEFAULT_BURST_SECONDS:g} s of the rate",
    "in-flight": SenderOptions().per_endpoint,
    "ordered": "no",
    "max-block": "for good, where it is ordered",
    "coalesce": "no, a request an item",
    "coalesce-ms": int(DEFAULT_WAIT.total_seconds() * 1_000),
}
#: Why an endpoint is disabled.
_REASONS: Mapping[str, str] = {
    DisabledReason.GONE: "it answered 410",
    DisabledReason.RECEIVER_REQUEST: "it answered `webhook-delivery: disable`",
    DisabledReason.FAILING: "it took nothing for five days",
    DisabledReason.MANUAL: "somebody disabled it",
}
_HEALTH = ("not_before", "failing_since", "last_failure_at", "failing_events")
_SECRET = ("public_key", "expires_at", "fingerprint")
_NOTICE = ("created_at", "type", "detail")
_BREAKER = ("open_until", "trips", "consecutive_failures")


def described(endpoint: KnownEndpoint) -> dict[str, Any]:
    """Return what is known of an endpoint, as `--json` prints it."""
    found = endpoint.condition
    return {
        "origin": endpoint.origin,
        "state": found.state.value,
        "since": found.since,
        "until": found.until,
        "reason": found.reason,
        "settings": endpoint.settings,
        "secrets": [{name: getattr(each, name) for name in _SECRET} for each in endpoint.own.secrets],
        "headers": list(endpoint.own.headers),
        "locked": endpoint.own.locked,
        "backlog": endpoint.backlog,
        "delivered": endpoint.taken.number,
        "oldest_due_at": endpoint.oldest_due_at,
        **{name: getattr(endpoint.health, name) for name in _HEALTH},
        "last_success_at": endpoint.last_success_at,
        **{name: getattr(endpoint.health.breaker, name) for name in _BREAKER},
        "notices": [{name: notice[name] for name in _NOTICE} for notice in endpoint.notices],
    }


def in_words(condition: Condition) -> str:
    """Return how an endpoint is: `open until 12:00:30`, `disabled since 2026-11-20 12:00: it answered 410`."""
    since = f" since {brief(condition.since)}" if condition.since and not condition.until else ""
    until = f" until {brief(condition.until)}" if condition.until else ""
    reason = f": {_said(condition)}" if condition.reason else ""
    return f"{condition.state.value}{since}{until}{reason}"


def _said(condition: Condition) -> str:
    """Return a reason in words; of what a person gave, only that."""
    code, colon, text = str(condition.reason).partition(": ")
    if condition.state is not EndpointState.DISABLED:
        return str(condition.reason)
    return text if colon else _REASONS.get(code, code)


def counted(backlog: Mapping[str, int]) -> str:
    """Return a backlog: `3 pending, 1 dead`."""
    return ", ".join(f"{count:,} {state}" for state, count in backlog.items()) or "none"


def print_endpoint(endpoint: KnownEndpoint) -> None:
    """Print what is known of an endpoint, for people."""
    health = endpoint.health
    print_facts(
        {
            "endpoint": endpoint.origin,
            "state": in_words(endpoint.condition),
            "backlog": counted(endpoint.backlog),
            "oldest due": endpoint.oldest_due_at,
            "delivered": _taken(endpoint),
            "last success": endpoint.last_success_at,
            "last failure": health.last_failure_at,
            "events failed since": health.failing_events or None,
            **settings(endpoint),
            "secrets": _secrets(endpoint.own),
            "headers": ", ".join(endpoint.own.headers) or None,
        }
    )
    if endpoint.notices:
        rows = [(notice["created_at"], notice["type"], notice["detail"]) for notice in endpoint.notices]
        print_table(("when", "notice", "detail"), rows, title="notices", below=("detail",))


def _taken(endpoint: KnownEndpoint) -> str:
    return f"{endpoint.taken.number:,} (of the newest {SCANNED_DELIVERIES:,} callbacks to all endpoints)"


def settings(endpoint: KnownEndpoint) -> dict[str, object]:
    """Return what is configured, by the names of the options."""
    found = {option: endpoint.settings[name] for option, name in SETTINGS.items()}
    return {option: _setting(option, value) for option, value in found.items()}


def _setting(option: str, value: object) -> object:
    if value is None:
        return f"default: {_DEFAULTS[option]}"
    return f"{value:g}" if isinstance(value, float) else value


def _secrets(own: Described) -> str:
    if own.locked is not None:
        return own.locked
    return "; ".join(map(_secret, own.secrets)) or "those of PIPELINE_WEBHOOK_SECRET"


def _secret(known: KnownSecret) -> str:
    named = "whsec_…" if known.public_key is None else f"whsk_… (public key {known.public_key})"
    kind = f"{named} {known.fingerprint}"
    return kind if known.expires_at is None else f"{kind} until {cell(known.expires_at)}"
