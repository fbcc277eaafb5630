"""The form with the settings of an endpoint: texts that people type, and values that are stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.delivery.rules.endpoint_settings import ORDERINGS, check_settings
from pipeline.domain.retry_schedule import SCHEDULES
from pipeline.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class SettingField:
    """A field of the form.

    Args:
        name: of the setting.
        hint: what it means, and what nothing in the field means.
        options: what can be chosen; empty: a number is typed.
        value: as typed or stored; empty: the default.
        error: what is wrong with the value; empty: nothing.
    """

    name: str
    label: str
    hint: str
    options: Sequence[str] = ()
    value: str = ""
    error: str = ""


_FIELDS = (
    SettingField("rate", "Rate", "Requests per second, of all senders together. Empty: no limit."),
    SettingField("burst", "Burst", "Requests that may follow at once on a pause. Needs a rate."),
    SettingField("in_flight_cap", "In flight", "Requests at once. Empty: it adapts to how the receiver answers."),
    SettingField("ordering", "Ordering", "Send one callback after another. Default: in any order.", ORDERINGS),
    SettingField("max_block_seconds", "Longest block", "Seconds that a failure holds others up. Needs ordering."),
    SettingField("schedule", "Retries", "standard: up to four days. short: a quarter of an hour.", tuple(SCHEDULES)),
    SettingField("coalesce_items", "Items per request", "Send the events of so many items together. Empty: one each."),
    SettingField("coalesce_ms", "Wait for others", "Milliseconds that an event waits. Needs items per request."),
)  # fmt: skip
#: What a number is typed with: Python reads more than people mean.
_NUMBER = frozenset("0123456789.eE+-")
SETTING_NAMES = tuple(field.name for field in _FIELDS)


def setting_fields(
    stored: Mapping[str, Any], given: Mapping[str, str] | None, errors: Mapping[str, str]
) -> list[SettingField]:
    """Return the fields of the form.

    Args:
        stored: the settings; None: the default.
        given: values as somebody typed them; None: nothing was typed.
        errors: what is wrong, by name.
    """
    typed = {name: _shown(value) for name, value in stored.items()} if given is None else given
    return [
        SettingField(
            each.name, each.label, each.hint, each.options, typed.get(each.name, ""), errors.get(each.name, "")
        )
        for each in _FIELDS
    ]


def read_settings(given: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return typed settings as they are stored, and what is wrong with the others, by name."""
    settings: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for name, text in given.items():
        try:
            settings |= check_settings({name: _parsed(text)})
        except InvalidInput as error:
            errors[name] = str(error)
    return settings, errors


def _parsed(text: str) -> int | float | str | None:
    """Return a number where the text is one; None for no text."""
    if not text:
        return None
    # The length first: Python refuses to parse thousands of digits.
    if text.isascii() and text.isdecimal() and len(text) < 20:
        return int(text)
    try:
        return float(text) if _NUMBER.issuperset(text) else text
    except ValueError:
        return text


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
