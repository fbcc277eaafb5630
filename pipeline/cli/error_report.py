"""Error messages and exit codes."""

from __future__ import annotations

import traceback
from typing import NamedTuple

import click

from pipeline.cli.streams import print_message
from pipeline.errors import PipelineError, Unreachable

#: As shells report a process that SIGINT ended.
INTERRUPTED = 130
#: EX_SOFTWARE of sysexits, for errors that no documented code covers.
INTERNAL_ERROR = 70

_BUG_HINT = "This is a bug in pipeline. Run `pipeline --debug …` with the same arguments for a traceback."


class Declined(click.Abort):
    """The user answered a confirmation prompt with no."""


class _Report(NamedTuple):
    """What is reported of an error: `code` and `type` name it for programs."""

    exit_code: int
    code: str
    type: str
    message: str


def report(error: Exception, *, as_json: bool, debug: bool) -> int:
    """Print an error to standard error and return the exit code."""
    # Imported here, since what prints JSON is needed by commands only.
    from pipeline.cli.show.output import to_json

    if debug and not isinstance(error, click.exceptions.Exit | click.ClickException | click.Abort):
        print_message("".join(traceback.format_exception(error)).removesuffix("\n"))
    found = _classify(error)
    if as_json:
        print_message(to_json({"error": {"code": found.code, "type": found.type, "message": found.message}}))
        return found.exit_code
    if isinstance(error, click.UsageError) and error.ctx is not None:
        print_message(f"{error.ctx.get_usage()}\nTry '{error.ctx.command_path} --help' for help.\n")
    print_message(f"error: {found.message}")
    return found.exit_code


def _classify(error: Exception) -> _Report:
    kind = type(error).__name__
    match error:
        case Declined():
            return _Report(INTERRUPTED, "declined", "Stopped", "cancelled; nothing was changed")
        case click.Abort():
            message = "interrupted; completed work is kept, and you can run the same command again"
            return _Report(INTERRUPTED, "interrupted", "Stopped", message)
        case click.UsageError():
            return _Report(error.exit_code, "usage_error", kind, error.format_message())
        case click.ClickException():
            return _Report(error.exit_code, "command_error", kind, error.format_message())
        case PipelineError():
            return _Report(error.exit_code, error.code, kind, str(error))
        case ConnectionError():
            message = f"a service does not respond: {error}; run `pipeline doctor` to find out which"
            return _Report(3, Unreachable.code, kind, message)
        case OSError():
            prefix = f"{error.filename}: " if error.filename else ""
            return _Report(2, "os_error", kind, f"{prefix}{error.strerror or error}")
    message = f"unexpected {kind}: {_first_line(error)}\n{_BUG_HINT}"
    return _Report(INTERNAL_ERROR, "internal_error", kind, message)


def _first_line(error: Exception) -> str:
    # SQLAlchemy's own text repeats the statement and its parameters, which may hold payloads; the driver's does not.
    cause = getattr(error, "orig", None) or error
    return str(cause).partition("\n")[0][:300] or "no message"
