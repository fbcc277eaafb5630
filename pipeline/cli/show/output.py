"""What is printed: data on standard output, talk on standard error."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from io import TextIOWrapper

import click
import orjson


@dataclass(frozen=True, slots=True)
class Talk:
    """Speaks to the person on standard error; a quiet one only warns."""

    is_quiet: bool = False

    def say(self, text: str) -> None:
        if not self.is_quiet:
            click.echo(text, err=True)

    def warn(self, text: str) -> None:
        click.echo(text, err=True)


def accept_any_text() -> None:
    """Print what the terminal's encoding cannot hold as an escape instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def print_json(value: object) -> None:
    """Print one JSON value; the encoding is UTF-8 whatever the terminal's is."""
    click.echo(orjson.dumps(value, default=_plain, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z))


def print_facts(facts: Mapping[str, object], *, err: bool = False) -> None:
    """Print names and values, one pair a line; those without a value are left out."""
    known = {name: cell(value) for name, value in facts.items() if value not in (None, "")}
    width = max(map(len, known), default=0)
    for name, value in known.items():
        click.echo(f"{name.ljust(width)}  {value}", err=err)


def cell(value: object) -> str:
    """Return a value as text for people. What could steer a terminal is escaped."""
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
            return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in str(value))


def brief(at: datetime) -> str:
    """Return an instant as people say it: without the day where that is today."""
    local = at.astimezone()
    is_today = local.date() == datetime.now().astimezone().date()
    return local.strftime("%H:%M:%S" if is_today else "%Y-%m-%d %H:%M")


def many(count: int, noun: str) -> str:
    """Return `1 item`, `2,000 items`, `3 batches`."""
    plural = f"{noun}es" if noun.endswith("ch") else f"{noun}s"
    return f"{count:,} {noun if count == 1 else plural}"


def duration(seconds: float) -> str:
    """Return a time as people say it: `0.3 s`, `12 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3_600} h {whole % 3_600 // 60} min"


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)
