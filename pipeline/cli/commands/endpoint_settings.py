"""`pipeline endpoints set`."""

from __future__ import annotations

import os
import sys
from typing import Any, NamedTuple

import click

from pipeline.cli import options
from pipeline.cli.run.session import opened
from pipeline.cli.show.endpoint import SETTINGS, described, origin, settings
from pipeline.cli.show.output import Talk, print_facts, print_json
from pipeline.delivery import endpoints as service
from pipeline.delivery.endpoint_secrets import describe
from pipeline.delivery.rules.endpoint_settings import ORDERINGS
from pipeline.domain.retry_schedule import SCHEDULES
from pipeline.errors import InvalidArgument

DEFAULT = "default"
#: How people name what Python names otherwise.
_CALLED = {name: f"--{option}" for option, name in SETTINGS.items()}


class Source(NamedTuple):
    """Where the value of a header comes from: a variable of the environment, or standard input."""

    name: str
    variable: str | None


def _number(value: Any) -> Any:
    """Which numbers can be used is for the service to say."""
    return value if value == DEFAULT else _parsed(float, value, "number")


def _whole(value: Any) -> Any:
    return value if value == DEFAULT else _parsed(int, value, "whole number")


def _parsed(kind: type[int] | type[float], value: Any, what: str) -> Any:
    try:
        return kind(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is no {what}; give one, or `{DEFAULT}`") from None


def _header(value: Any) -> Source:
    """Read `NAME=@VARIABLE` or `NAME`. A value itself is refused: other people of the machine see arguments."""
    if isinstance(value, Source):
        return value
    name, equals, source = str(value).partition("=")
    if equals and not (source.startswith("@") and len(source) > 1):
        # What was meant to be secret is not repeated.
        raise click.BadParameter(
            f"the value of {name!r} must not stand on the command line, where others can read it: give "
            f"{name}=@VARIABLE and the value in that variable, or {name} and the value on standard input"
        )
    return Source(name, source[1:] or None)


_OPTIONS = (
    click.option("--schedule", type=click.Choice([*SCHEDULES, DEFAULT]), help="How failed callbacks are tried again."),
    click.option("--rate", type=_number, metavar="NUMBER", help="Requests a second at the most."),
    click.option("--burst", type=_whole, metavar="NUMBER", help="Requests that may start at once."),
    click.option("--in-flight", type=_whole, metavar="NUMBER", help="Requests under way at the same time."),
    click.option(
        "--ordered", type=click.Choice([*ORDERINGS, "no", DEFAULT]), help="One at a time, in order: all, or each batch."
    ),
    click.option(
        "--max-block", type=_number, metavar="SECONDS", help="How long one that fails holds up those behind it."
    ),
    click.option("--coalesce", type=_whole, metavar="NUMBER", help="Items in one request at the most."),
    click.option("--coalesce-ms", type=_whole, metavar="MS", help="How long an item waits for others."),
    click.option(
        "--header",
        "headers",
        type=_header,
        multiple=True,
        metavar="NAME=@VARIABLE",
        help="Add a header, its value from the environment; NAME alone: from standard input, a line for each.",
    ),
    click.option("--no-header", "removed", multiple=True, metavar="NAME", help="Take a header away."),
)


def _with_options(command: Any) -> Any:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command("set")
@origin
@_with_options
@options.as_json
def set_(origin: str, headers: tuple[Source, ...], removed: tuple[str, ...], as_json: bool, **given: Any) -> None:
    """Configure how an endpoint is called, from its next attempt on. `default` takes a setting back.

    Headers are kept encrypted, which needs PIPELINE_ENCRYPTION_KEY, and are never shown.

    \b
    Examples:
      pipeline endpoints set https://example.com --rate 20 --burst 50 --in-flight 4
      pipeline endpoints set https://example.com --coalesce 100 --coalesce-ms 500
      pipeline endpoints set https://example.com --ordered batch --max-block 600
      pipeline endpoints set https://example.com --header Authorization=@TOKEN --no-header X-Old
      pipeline endpoints set https://example.com --header Authorization < token.txt
      pipeline endpoints set https://example.com --rate default --burst default
    """
    changed = {SETTINGS[name.replace("_", "-")]: _stored(value) for name, value in given.items() if value is not None}
    if not (changed or headers or removed):
        raise click.UsageError("nothing to change; give at least one setting, such as --rate 20")
    both = {name.lower() for name, _ in headers} & {name.lower() for name in removed}
    if both:
        raise click.UsageError(f"the header {both.pop()!r} is set and taken away; give one of the two")
    with opened(may_create=True) as context:
        named = {name: None for name in removed} | {source.name: _value(source) for source in headers}
        # A name is one in any case; where the present ones cannot be read, `configure` says so.
        absent = [name for name in removed if name.lower() not in describe(context, origin).headers]
        try:
            found = service.configure(context, origin, headers=named, **changed)
        except InvalidArgument as error:
            raise error.with_names(_CALLED) from None
    for name in absent:
        Talk().warn(f"{found.origin} had no header {name!r} to take away")
    if as_json:
        print_json(described(found))
        return
    print_facts({"endpoint": found.origin, **settings(found), "headers": ", ".join(found.own.headers) or None})


def _stored(value: Any) -> Any:
    return None if value in (DEFAULT, "no") else value


def _value(source: Source) -> str:
    if source.variable is not None:
        value = os.environ.get(source.variable)
        if value is None:
            raise click.UsageError(f"the variable {source.variable} for {source.name!r} is not set; export it")
        return value
    if sys.stdin.isatty():
        return str(click.prompt(f"Value of {source.name}", hide_input=True, err=True))
    line = sys.stdin.readline()
    if not line:
        raise click.UsageError(f"standard input has no line for {source.name!r}; give one line for each such header")
    return line.rstrip("\r\n")
