"""One endpoint. Secrets and header values are never shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.cli.show.output import format_counts, format_time, format_value, print_fields
from pipeline.cli.show.table import print_table
from pipeline.delivery.rules.bundle import DEFAULT_WAIT
from pipeline.delivery.rules.delivery import DisabledReason
from pipeline.delivery.rules.endpoint_state import Condition, EndpointState
from pipeline.delivery.rules.rate import DEFAULT_BURST_SECONDS
from pipeline.delivery.sql.recent_successes import SCANNED_DELIVERIES
from pipeline.delivery.webhook.options import SenderOptions

#: The name of each setting by its option, without the leading dashes.
SETTING_BY_OPTION = {
    "schedule": "schedule",
    "rate": "rate",
    "burst": "burst",
    "in-flight": "in_flight_cap",
    "ordered": "ordering",
    "max-block": "max_block_seconds",
    "coalesce": "coalesce_items",
    "coalesce-ms": "coalesce_ms",
}
#: The default of each setting, by option.
_DEFAULTS = {
    "schedule": "standard, or the schedule of the batch",
    "rate": "unlimited",
    "burst": f"as many as the rate allows in {DEFAULT_BURST_SECONDS:g} s",
    "in-flight": str(SenderOptions().per_endpoint),
    "ordered": "no",
    "max-block": "unlimited, if ordered",
    "coalesce": "off, one item per request",
    "coalesce-ms": f"{DEFAULT_WAIT.total_seconds() * 1_000:.0f}",
}
_DISABLED_REASONS: Mapping[str, str] = {
    DisabledReason.GONE: "it answered 410 Gone",
    DisabledReason.RECEIVER_REQUEST: "it answered `webhook-delivery: disable`",
    DisabledReason.FAILING: "no delivery succeeded for five days",
    DisabledReason.MANUAL: "disabled by a user",
}


def condition_text(condition: Condition) -> str:
    """Return a condition such as `open until 12:00:30` or `disabled since 2026-11-20 12:00: it answered 410 Gone`."""
    since = f" since {format_time(condition.since)}" if condition.since and not condition.until else ""
    until = f" until {format_time(condition.until)}" if condition.until else ""
    reason = f": {_reason_text(condition)}" if condition.reason else ""
    return f"{condition.state.value}{since}{until}{reason}"


def _reason_text(condition: Condition) -> str:
    """Return the reason of a condition as text; if a user gave a reason, only that."""
    code, colon, text = str(condition.reason).partition(": ")
    if condition.state is not EndpointState.DISABLED:
        return str(condition.reason)
    return text if colon else _DISABLED_REASONS.get(code, code)


def condition_of(endpoint: Mapping[str, Any]) -> Condition:
    """Return the condition of an endpoint as `--json` prints it."""
    return Condition(EndpointState(endpoint["state"]), endpoint["since"], endpoint["until"], endpoint["reason"])


def print_endpoint(endpoint: Mapping[str, Any]) -> None:
    """Print an endpoint, as `--json` prints it, as text."""
    failed = endpoint["failing_events"]
    print_fields(
        {
            "endpoint": endpoint["origin"],
            "state": condition_text(condition_of(endpoint)),
            "backlog": format_counts(endpoint["backlog"]) or "none",
            "oldest due": endpoint["oldest_due_at"],
            "delivered": f"{endpoint['delivered']:,} of the latest {SCANNED_DELIVERIES:,} deliveries to all endpoints",
            "last success": endpoint["last_success_at"],
            "last failure": endpoint["last_failure_at"],
            "failed events": f"{failed:,} since the last success" if failed else None,
            **setting_fields(endpoint),
            "secrets": _secrets_text(endpoint),
            "headers": ", ".join(endpoint["headers"]) or None,
        }
    )
    if endpoint["notices"]:
        rows = [
            (notice["created_at"], notice["type"], notice["detail"], notice["actor"]) for notice in endpoint["notices"]
        ]
        print_table(("time", "notice", "detail", "by"), rows, title="notices", below=("detail", "by"))


def setting_fields(endpoint: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings of an endpoint as text, by option."""
    values = {option: endpoint["settings"][name] for option, name in SETTING_BY_OPTION.items()}
    return {option: _setting_text(option, value) for option, value in values.items()}


def _setting_text(option: str, value: object) -> str:
    if value is None:
        return f"default: {_DEFAULTS[option]}"
    return f"{value:g}" if isinstance(value, float) else format_value(value)


def _secrets_text(endpoint: Mapping[str, Any]) -> str:
    if endpoint["locked"] is not None:
        return str(endpoint["locked"])
    return "; ".join(map(_secret_text, endpoint["secrets"])) or "those of PIPELINE_WEBHOOK_SECRET"


def _secret_text(secret: Mapping[str, Any]) -> str:
    kind = "whsec_…" if secret["public_key"] is None else f"whsk_… (public key {secret['public_key']})"
    expires = "" if secret["expires_at"] is None else f" until {format_value(secret['expires_at'])}"
    return f"{kind} {secret['fingerprint']}{expires}"
