"""Error messages and exit codes."""

from __future__ import annotations

import traceback

import click
import orjson

from pipeline.errors import PipelineError

#: As shells report a process that SIGINT ended.
INTERRUPTED = 130
#: EX_SOFTWARE of sysexits, for errors that no documented code covers.
INTERNAL_ERROR = 70

_BUG_HINT = "This is a bug in pipeline. Run `pipeline --debug …` with the same arguments for a traceback."


class Declined(click.Abort):
    """The user answered a confirmation prompt with no."""


def report(error: Exception, *, as_json: bool, debug: bool) -> int:
    """Print an error to standard error and return the exit code."""
    if debug and not isinstance(error, click.exceptions.Exit | click.ClickException | click.Abort):
        click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
    code, kind, message = _classify(error)
    if as_json:
        click.echo(orjson.dumps({"error": {"type": kind, "message": message}}), err=True)
        return code
    if isinstance(error, click.UsageError) and error.ctx is not None:
        click.echo(f"{error.ctx.get_usage()}\nTry '{error.ctx.command_path} --help' for help.\n", err=True)
    click.echo(f"error: {message}", err=True)
    return code


def _classify(error: Exception) -> tuple[int, str, str]:
    """Return the exit code, the type and the message of an error."""
    kind = type(error).__name__
    match error:
        case Declined():
            return INTERRUPTED, "Stopped", "cancelled; nothing was changed"
        case click.Abort():
            return INTERRUPTED, "Stopped", "interrupted; completed work is kept, and you can run the same command again"
        case click.ClickException():
            return error.exit_code, kind, error.format_message()
        case PipelineError():
            return error.exit_code, kind, str(error)
        case ConnectionError():
            return 3, kind, f"a service does not respond: {error}; run `pipeline doctor` to find out which"
        case OSError():
            prefix = f"{error.filename}: " if error.filename else ""
            return 2, kind, f"{prefix}{error.strerror or error}"
    return INTERNAL_ERROR, kind, f"unexpected {kind}: {_first_line(error)}\n{_BUG_HINT}"


def _first_line(error: Exception) -> str:
    # SQLAlchemy's own text repeats the statement and its parameters, which may hold payloads; the driver's does not.
    cause = getattr(error, "orig", None) or error
    return str(cause).partition("\n")[0][:300] or "no message"
