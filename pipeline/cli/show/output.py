"""Data on standard output, messages on standard error, and values as text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import orjson

from pipeline.cli.streams import print_data, print_message


@dataclass(frozen=True, slots=True)
class Messages:
    """Messages for the user on standard error. In quiet mode only warnings are printed."""

    is_quiet: bool = False

    def info(self, text: str) -> None:
        """Print a message, unless in quiet mode."""
        if not self.is_quiet:
            print_message(text)

    def warn(self, text: str) -> None:
        """Print a message, also in quiet mode."""
        print_message(text)


def print_json(value: object) -> None:
    """Print a value as JSON, in UTF-8 regardless of the terminal's encoding."""
    print_data(to_json(value, indent=True))


def to_json(value: object, *, indent: bool = False) -> bytes:
    """Return a value as JSON in UTF-8. What UTF-8 lacks, such as bytes in the path of a file, is escaped."""
    options = orjson.OPT_UTC_Z | (orjson.OPT_INDENT_2 if indent else 0)
    try:
        return orjson.dumps(value, default=_to_json, option=options)
    except TypeError:
        return json.dumps(value, default=_to_json, indent=2 if indent else None).encode()


def print_fields(fields: Mapping[str, object], *, err: bool = False) -> None:
    """Print one field per line, names and values aligned. Fields without a value are left out."""
    texts = {label(name): _format_field(value) for name, value in fields.items() if value not in (None, "")}
    width = max(map(len, texts), default=0)
    for name, text in texts.items():
        line = f"{name.ljust(width)}  {text}"
        print_message(line) if err else print_data(line)


def label(name: str) -> str:
    """Return the name of a JSON field as a label for people: `batch_id` as `batch id`."""
    return name.replace("_", " ")


def format_value(value: object) -> str:
    """Return a value as text for people. Characters that could control a terminal are escaped."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.3f}"
        case datetime():
            return value.astimezone(_zone()).strftime("%Y-%m-%d %H:%M:%S")
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in str(value))


def format_time(at: datetime) -> str:
    """Return a time in short form: the time of day for today, otherwise date and minute."""
    local = at.astimezone(_zone())
    is_today = local.date() == datetime.now(_zone()).date()
    return local.strftime("%H:%M:%S" if is_today else "%Y-%m-%d %H:%M")


def zone_name() -> str:
    """Return the name of the zone in which times are shown, such as `UTC+05:45`."""
    return str(_zone())


def _zone() -> timezone:
    # The offset of now for all times, also those of the other half of the year: one name is right for all of them.
    return timezone(datetime.now().astimezone().utcoffset() or timedelta())


def _format_field(value: object) -> str:
    return f"{format_value(value)} {zone_name()}" if isinstance(value, datetime) else format_value(value)


def format_duration(seconds: float) -> str:
    """Return a duration such as `0.3 s`, `12 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3_600} h {whole % 3_600 // 60} min"


def pluralize(count: int, noun: str) -> str:
    """Return a count with its noun: `1 item`, `2,000 items`, `3 batches`."""
    plural = f"{noun}es" if noun.endswith("ch") else f"{noun}s"
    return f"{count:,} {noun if count == 1 else plural}"


def format_counts(counts: Mapping[Any, int]) -> str:
    """Return counts by name without the zeros: `3 pending, 1 dead`."""
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)


def _to_json(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else str(value)
