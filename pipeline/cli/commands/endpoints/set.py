"""`pipeline endpoints set`."""

from __future__ import annotations

import os
import sys
from typing import Any, NamedTuple

import click

from pipeline.cli import options
from pipeline.cli.backends import open_backend
from pipeline.cli.show.endpoint import SETTING_BY_OPTION, setting_fields
from pipeline.cli.show.output import Messages, print_fields, print_json
from pipeline.delivery.rules.endpoint_settings import ORDERINGS
from pipeline.domain.retry_schedule import SCHEDULES
from pipeline.errors import InvalidArgument

#: The value that resets a setting.
_DEFAULT = "default"
#: The options by the names of the settings in the Python API.
_OPTION_NAMES = {name: f"--{option}" for option, name in SETTING_BY_OPTION.items()}


class HeaderSource(NamedTuple):
    """A header, and the environment variable that holds its value; None for standard input."""

    name: str
    variable: str | None


def _number(value: Any) -> Any:
    """Parse a number or `default`. The service checks the range."""
    return value if value == _DEFAULT else _parse(float, value, "a number")


def _integer(value: Any) -> Any:
    """Parse a whole number or `default`. The service checks the range."""
    return value if value == _DEFAULT else _parse(int, value, "a whole number")


def _parse(kind: type[int] | type[float], value: Any, expected: str) -> Any:
    try:
        return kind(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is not {expected}; expected {expected}, or `{_DEFAULT}`") from None


def _header(value: Any) -> HeaderSource:
    """Parse `NAME=@VARIABLE` or `NAME`. A literal value is refused: other users of the machine can read arguments."""
    if isinstance(value, HeaderSource):
        return value
    name, equals, source = str(value).partition("=")
    if equals and not (source.startswith("@") and len(source) > 1):
        # Do not repeat the value: it is probably secret.
        raise click.BadParameter(
            f"the value of {name!r} must not be on the command line, where other users can read it; pass "
            f"{name}=@VARIABLE with the value in that environment variable, or {name} with the value on standard input"
        )
    return HeaderSource(name, source[1:] or None)


_OPTIONS = (
    click.option("--schedule", type=click.Choice([*SCHEDULES, _DEFAULT]), help="How failed callbacks are retried."),
    click.option("--rate", type=_number, metavar="NUMBER", help="Maximum number of requests per second."),
    click.option("--burst", type=_integer, metavar="N", help="Number of requests that may start at once."),
    click.option("--in-flight", type=_integer, metavar="N", help="Maximum number of concurrent requests."),
    click.option(
        "--ordered",
        type=click.Choice([*ORDERINGS, "no", _DEFAULT]),
        help="Send callbacks one at a time, in order: across the endpoint, or within each batch.",
    ),
    click.option(
        "--max-block",
        type=_number,
        metavar="SECONDS",
        help="How long a failing callback may block the callbacks behind it.",
    ),
    click.option("--coalesce", type=_integer, metavar="N", help="Maximum number of items in one request."),
    click.option("--coalesce-ms", type=_integer, metavar="MS", help="How long an item waits for others."),
    click.option(
        "--header",
        "headers",
        type=_header,
        multiple=True,
        metavar="NAME=@VARIABLE",
        help="Add a header with the value of an environment variable; with NAME alone, the value is a line of standard "
        "input. Can be repeated.",
    ),
    click.option("--no-header", "removed", multiple=True, metavar="NAME", help="Remove a header. Can be repeated."),
)


@click.command("set")
@options.origin
@options.with_options(_OPTIONS)
@options.as_json
def set_(origin: str, headers: tuple[HeaderSource, ...], removed: tuple[str, ...], as_json: bool, **given: Any) -> None:
    """Configure how an endpoint is called.

    Changes apply from the next attempt on. The value `default` resets a setting. Headers are stored encrypted, which
    needs PIPELINE_ENCRYPTION_KEY, and are never shown.

    \b
    Examples:
      pipeline endpoints set https://example.com --rate 20 --burst 50 --in-flight 4
      pipeline endpoints set https://example.com --coalesce 100 --coalesce-ms 500
      pipeline endpoints set https://example.com --ordered batch --max-block 600
      pipeline endpoints set https://example.com --header Authorization=@TOKEN --no-header X-Old
      pipeline endpoints set https://example.com --header Authorization < token.txt
      pipeline endpoints set https://example.com --rate default --burst default
    """
    changes = {
        SETTING_BY_OPTION[name.replace("_", "-")]: _stored(value) for name, value in given.items() if value is not None
    }
    _check_changes(changes, headers, removed)
    with open_backend(may_create=True) as backend:
        header_values = {name: None for name in removed} | {source.name: _read_value(source) for source in headers}
        # Header names are case-insensitive. If the current headers cannot be decrypted, `configure` raises.
        known = backend.known_endpoint(origin) if removed else None
        absent = [name for name in removed if known is None or name.lower() not in known["headers"]]
        try:
            endpoint = backend.configure_endpoint(origin, header_values, changes)
        except InvalidArgument as error:
            raise error.with_names(_OPTION_NAMES) from None
    for name in absent:
        Messages().warn(f"{endpoint['origin']} has no header {name!r} to remove")
    if as_json:
        print_json(endpoint)
        return
    headers_text = ", ".join(endpoint["headers"])
    print_fields({"endpoint": endpoint["origin"], **setting_fields(endpoint), "headers": headers_text})


def _check_changes(changes: dict[str, Any], headers: tuple[HeaderSource, ...], removed: tuple[str, ...]) -> None:
    if not (changes or headers or removed):
        raise click.UsageError("nothing to change; give at least one setting, such as --rate 20")
    both = {name.lower() for name, _ in headers} & {name.lower() for name in removed}
    if both:
        raise click.UsageError(f"the header {both.pop()!r} is both set and removed; use only one of the options")


def _stored(value: Any) -> Any:
    return None if value in (_DEFAULT, "no") else value


def _read_value(source: HeaderSource) -> str:
    """Return the value of a header, from the environment, a prompt or standard input."""
    if source.variable is not None:
        value = os.environ.get(source.variable)
        if value is None:
            raise click.UsageError(
                f"the environment variable {source.variable} for the header {source.name!r} is not set; export it"
            )
        return value
    if sys.stdin.isatty():
        return str(click.prompt(f"Value of {source.name}", hide_input=True, err=True))
    line = sys.stdin.readline()
    if not line:
        raise click.UsageError(
            f"standard input has no line for the header {source.name!r}; provide one line for each such header"
        )
    return line.rstrip("\r\n")
