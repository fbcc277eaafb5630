"""Reads the file that `PIPELINE_ALERTS` names: channels, thresholds of rules, and a heartbeat."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pipeline.alerts.rules.catalog import RULES, AlertRule
from pipeline.alerts.rules.channel import AlertChannel, AlertSettings, ChannelFormat, Heartbeat, RuleSettings
from pipeline.alerts.rules.episode import Severity
from pipeline.domain.did_you_mean import hint, list_names, quote_name
from pipeline.domain.urls.connection_url import is_connection_name
from pipeline.domain.variables import expand_variables
from pipeline.errors import InvalidSettings

_MAX_BYTES = 2**20
_TABLES = ("channels", "rules", "heartbeat", "page_url")
_FILTERS = ("severities", "rules", "definitions")
#: Keys of a channel, by its format, besides `format` and those that filter.
_KEYS: Mapping[ChannelFormat, Sequence[str]] = {
    ChannelFormat.WEBHOOK: ("url", "headers", "rate"),
    ChannelFormat.SLACK: ("url", "headers", "rate"),
    ChannelFormat.TEAMS: ("url", "headers", "rate"),
    ChannelFormat.PAGERDUTY: ("routing_key", "url", "rate"),
    ChannelFormat.ALERTMANAGER: ("url", "headers", "rate"),
    ChannelFormat.EMAIL: ("url", "from", "to", "rate"),
    ChannelFormat.COMMAND: ("command", "rate"),
}
_SMTP = ("smtp", "smtp+starttls", "smtps")
_PAGERDUTY_URL = "https://events.pagerduty.com/v2/enqueue"
#: Slack takes one message a second.
_RATES = {ChannelFormat.SLACK: 1.0}
#: Connectors of Office 365, which Microsoft has retired.
_RETIRED = "webhook.office.com"


def read_alerts(path: Path, *, can_sign: bool) -> AlertSettings:
    """Return what a file says.

    Args:
        can_sign: whether there is a secret that signs webhooks.

    Raises:
        InvalidSettings: it cannot be read or used. No value of a channel is shown: it may be a secret.
    """
    try:
        tables = tomllib.loads(_read(path))
    except tomllib.TOMLDecodeError as error:
        raise InvalidSettings(f"{path}: {error}") from None
    table = _Table(path, "", tables)
    table.check_keys(_TABLES)
    channels = {
        name: _channel(_Table(path, f"channels.{name}", each), name, can_sign=can_sign)
        for name, each in table.tables("channels").items()
    }
    given = table.tables("rules")
    for name in given:
        if name not in RULES:
            raise table.unfit(f"has the unknown rule {quote_name(name)}{hint(name, RULES)}")
    rules = {name: _rule(_Table(path, f"rules.{name}", given.get(name, {})), rule) for name, rule in RULES.items()}
    return AlertSettings(channels, rules, _heartbeat(table, path), table.url("page_url"))


def _read(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InvalidSettings(f"PIPELINE_ALERTS names {str(path)!r}, which cannot be read: {reason}") from None
    if len(data) > _MAX_BYTES:
        raise InvalidSettings(f"{path} has {len(data):,} bytes; a file of alerts has at most {_MAX_BYTES:,}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidSettings(f"{path} is not UTF-8 text (byte {error.start:,}); save it as UTF-8") from None


class _Table:
    """One table of the file. Messages name it and its key, and show no value of it."""

    def __init__(self, path: Path, name: str, values: Any) -> None:
        self._path, self._name = path, name
        if not isinstance(values, Mapping):
            raise self.unfit("is no table")
        self.values = values

    def unfit(self, problem: str) -> InvalidSettings:
        where = f"[{self._name}] " if self._name else ""
        return InvalidSettings(f"{self._path}: {where}{problem}")

    def check_keys(self, known: Collection[str]) -> None:
        for key in self.values:
            if key not in known:
                raise self.unfit(
                    f"has the unknown key {quote_name(key)}{hint(key, known)}; it takes {list_names(known)}"
                )

    def tables(self, key: str) -> Mapping[str, Any]:
        found = self.values.get(key, {})
        if not isinstance(found, Mapping):
            raise self.unfit(f"has no table in {key}; write [{key}.NAME]")
        return found

    def text(self, key: str) -> str | None:
        if key not in self.values:
            return None
        value = self.values[key]
        if not isinstance(value, str) or not value:
            raise self.unfit(f"has no text in {key}; write one in quotes")
        return self._filled(value)

    def required(self, key: str, example: str) -> str:
        found = self.text(key)
        if found is None:
            raise self.unfit(f"needs {key}, such as {key} = {example}")
        return found

    def url(self, key: str) -> str | None:
        found = self.text(key)
        if found is not None and not _is_web_url(found):
            raise self.unfit(f"has no URL in {key}; write one that begins with https://")
        return found

    def texts(self, key: str, known: Collection[str] | None = None) -> tuple[str, ...]:
        found = self.values.get(key, [])
        if not isinstance(found, list) or not all(isinstance(each, str) and each for each in found):
            raise self.unfit(f"has no list of texts in {key}")
        filled = tuple(map(self._filled, found))
        for each in filled if known is not None else ():
            if each not in (known or ()):
                raise self.unfit(f"names {quote_name(each)} in {key}{hint(each, known or ())}")
        return filled

    def headers(self) -> Mapping[str, str]:
        found = self.tables("headers")
        for name, value in found.items():
            if not isinstance(value, str) or not name.isascii() or not all(c.isalnum() or c in "-_" for c in name):
                raise self.unfit('has a header that is no text; write headers = { authorization = "Bearer …" }')
        return {name.lower(): self._filled(value) for name, value in found.items()}

    def number(
        self, key: str, default: float | None, *, least: float, most: float, whole: bool = False
    ) -> float | None:
        value = self.values.get(key, default)
        if value is None:
            return None
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not least <= value <= most or (whole and value != int(value)):
            kind = "whole number" if whole else "number"
            raise self.unfit(f"has no {kind} from {least:g} to {most:g} in {key}")
        return float(value) if not whole else int(value)

    def _filled(self, value: str) -> str:
        where = f"{self._path}: [{self._name}]" if self._name else str(self._path)
        return expand_variables(value, where, os.environ, InvalidSettings)


def _is_web_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.username is None
    except ValueError:
        return False


def _channel(table: _Table, name: str, *, can_sign: bool) -> AlertChannel:
    if not is_connection_name(name):
        raise table.unfit("has a name with other characters than lower-case letters, digits, hyphens and underscores")
    formats = [each.value for each in ChannelFormat]
    given = table.required("format", '"slack"')
    if given not in formats:
        raise table.unfit(
            f"has the unknown format {quote_name(given)}{hint(given, formats)}; use {list_names(formats)}"
        )
    format_ = ChannelFormat(given)
    table.check_keys(("format", *_FILTERS, *_KEYS[format_]))
    if format_ is ChannelFormat.WEBHOOK and not can_sign:
        raise table.unfit("is a webhook, and nothing is sent unsigned; set PIPELINE_WEBHOOK_SECRET (`pipeline secret`)")
    return AlertChannel(
        name,
        format_,
        _channel_url(table, format_),
        severities=table.texts("severities", [each.value for each in Severity]),
        # Users name guards.
        rules=table.texts("rules"),
        definitions=table.texts("definitions"),
        headers=table.headers(),
        options=_options(table, format_),
        command=_command(table) if format_ is ChannelFormat.COMMAND else (),
        rate=table.number("rate", _RATES.get(format_), least=0.001, most=1_000),
    )


def _channel_url(table: _Table, format_: ChannelFormat) -> str:
    match format_:
        case ChannelFormat.COMMAND:
            return ""
        case ChannelFormat.PAGERDUTY:
            return table.url("url") or _PAGERDUTY_URL
        case ChannelFormat.EMAIL:
            url = table.required("url", '"smtp+starttls://mail.example.com"')
            scheme, _, rest = url.partition("://")
            if scheme not in _SMTP or not rest.strip("/"):
                raise table.unfit(f"has no URL of an SMTP server in url; it begins with {list_names(_SMTP)} and ://")
            return url
    table.required("url", '"https://…"')
    url = table.url("url") or ""
    if _RETIRED in (urlsplit(url).hostname or "") and format_ is ChannelFormat.TEAMS:
        raise table.unfit("Office 365 connectors no longer exist; make a Workflows webhook")
    # Its base address is what people know.
    is_base = format_ is ChannelFormat.ALERTMANAGER and not url.endswith("/api/v2/alerts")
    return url.rstrip("/") + "/api/v2/alerts" if is_base else url


def _options(table: _Table, format_: ChannelFormat) -> Mapping[str, str]:
    match format_:
        case ChannelFormat.PAGERDUTY:
            return {"routing_key": table.required("routing_key", '"${PAGERDUTY_KEY}"')}
        case ChannelFormat.EMAIL:
            to = table.texts("to")
            if not to:
                raise table.unfit('needs to, such as to = ["oncall@example.com"]')
            return {"from": table.required("from", '"pipeline@example.com"'), "to": ", ".join(to)}
    return {}


def _command(table: _Table) -> Sequence[str]:
    found = table.texts("command")
    if not found:
        raise table.unfit('needs command, a list such as command = ["/usr/local/bin/page"]')
    return found


def _rule(table: _Table, rule: AlertRule) -> RuleSettings:
    table.check_keys(("enabled", "severity", *rule.settings))
    enabled = table.values.get("enabled", True)
    if not isinstance(enabled, bool):
        raise table.unfit("has neither true nor false in enabled")
    severity = table.text("severity") or rule.severity.value
    known = [each.value for each in Severity]
    if severity not in known:
        raise table.unfit(f"has the unknown severity {quote_name(severity)}; use {list_names(known)}")
    thresholds = {name: _threshold(table, name, default) for name, default in rule.settings.items()}
    return RuleSettings(enabled, Severity(severity), thresholds)


def _threshold(table: _Table, name: str, default: float) -> float:
    if name == "rate":
        found = table.number(name, default, least=0.001, most=1)
    else:
        found = table.number(name, default, least=1, most=31_536_000, whole=name != "after_seconds")
    return default if found is None else found


def _heartbeat(table: _Table, path: Path) -> Heartbeat | None:
    if "heartbeat" not in table.values:
        return None
    own = _Table(path, "heartbeat", table.values["heartbeat"])
    own.check_keys(("url", "every_seconds"))
    own.required("url", '"https://…"')
    every = own.number("every_seconds", 60, least=1, most=86_400)
    return Heartbeat(own.url("url") or "", every or 60)
