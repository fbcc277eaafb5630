"""What a person or a program is told when a command fails."""

from __future__ import annotations

import traceback

import click
import orjson

from pipeline.errors import PipelineError

#: As after SIGINT in any shell.
STOPPED = 130
#: Not foreseen, hence none of the documented codes; EX_SOFTWARE of sysexits.
UNEXPECTED = 70


def report(error: Exception, *, as_json: bool, debug: bool) -> int:
    """Say on standard error what went wrong; return the exit code."""
    if debug and not isinstance(error, click.exceptions.Exit | click.ClickException | click.Abort):
        click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
    if isinstance(error, click.ClickException) and not as_json:
        error.show()
        return error.exit_code
    code, kind, message = _described(error)
    if as_json:
        click.echo(orjson.dumps({"error": {"type": kind, "message": message}}), err=True)
    else:
        click.echo(f"error: {message}", err=True)
    return code


def _described(error: Exception) -> tuple[int, str, str]:
    kind = type(error).__name__
    match error:
        case click.Abort():
            return STOPPED, "Stopped", "stopped; what was begun is kept, and the same command may be given again"
        case click.ClickException():
            return error.exit_code, kind, error.format_message()
        case PipelineError():
            return error.exit_code, kind, str(error)
        case ConnectionError():
            return 3, kind, f"a service does not answer: {error}; `pipeline doctor` says which"
        case OSError():
            named = f"{error.filename}: " if error.filename else ""
            return 2, kind, f"{named}{error.strerror or error}"
    return UNEXPECTED, kind, f"unexpected {kind}: {_first_line(error)}\n{_HINT}"


def _first_line(error: Exception) -> str:
    # SQLAlchemy's own text repeats statement and parameters, payloads among them; the driver's does not.
    cause = getattr(error, "orig", None) or error
    return str(cause).partition("\n")[0][:300] or "no message"


_HINT = "This is a fault of pipeline; `pipeline --debug …` with the same arguments shows where."
