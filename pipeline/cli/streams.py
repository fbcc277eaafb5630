"""The standard streams of a command: standard output carries data only, and closed streams are no error."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import TextIO

import click

_STDIN, _STDOUT, _STDERR = 0, 1, 2
#: Paths that open standard output.
_STDOUT_PATHS = frozenset({"/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"})


class _Data:
    """Where data goes while a command has standard output to itself.

    Attributes:
        stream: None while nothing is reserved.
        descriptor: A copy of standard output; None until it is needed.
    """

    stream: TextIO | None = None
    descriptor: int | None = None


def open_closed_streams() -> None:
    """Open the null device in place of each standard stream that the caller closed.

    Otherwise the next file, such as the database, would get its number, and be read and written as that stream.
    """
    for number, flags in ((_STDIN, os.O_RDONLY), (_STDOUT, os.O_WRONLY), (_STDERR, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            # The system gives the lowest free number.
            os.set_inheritable(os.open(os.devnull, flags), True)
    if sys.stdin is None:
        sys.stdin = os.fdopen(_STDIN, encoding="utf-8", closefd=False)
    if sys.stdout is None:
        sys.stdout = os.fdopen(_STDOUT, "w", encoding="utf-8", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(_STDERR, "w", encoding="utf-8", closefd=False)


def escape_unencodable() -> None:
    """Print characters that the terminal's encoding lacks as escapes instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def reserve_stdout() -> Iterator[None]:
    """Keep standard output for `data_stream`. All else that is written to it goes to standard error.

    This includes what classifiers and enrichers print, and the programs and libraries that they use.
    """
    stream = sys.stdout
    if not _is_stdout(stream):
        # A test, or a program that calls the command line.
        _Data.stream, sys.stdout = stream, sys.stderr
        try:
            yield
        finally:
            sys.stdout, _Data.stream = stream, None
        return
    stream.flush()
    _Data.stream = os.fdopen(data_descriptor(), "w", encoding=stream.encoding, errors="backslashreplace", closefd=False)
    # To the end of the process: libraries may write what they have buffered as late as that.
    os.dup2(_STDERR, _STDOUT)
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(line_buffering=True)
    try:
        yield
        _Data.stream.flush()
    finally:
        with suppress(OSError):
            _Data.stream.close()


def data_stream() -> TextIO:
    """Return the stream for data, which is standard output."""
    return _Data.stream or sys.stdout


def data_descriptor() -> int:
    """Return the number of a descriptor of standard output that stays the same when it is reserved."""
    if _Data.descriptor is None:
        _Data.descriptor = os.dup(_STDOUT)
    return _Data.descriptor


def output_path(path: str) -> str:
    """Return a path that opens the same file when standard output is reserved."""
    return f"/dev/fd/{data_descriptor()}" if path in _STDOUT_PATHS else path


def print_data(data: str | bytes) -> None:
    """Print a line of data, and flush it."""
    click.echo(data, file=data_stream())


def print_message(text: str | bytes) -> None:
    """Print a line to standard error. If nobody can read it, that is no reason to stop."""
    try:
        click.echo(text, err=True)
    except OSError:
        _drop_messages()


def _drop_messages() -> None:
    with suppress(OSError, ValueError):
        if sys.stderr.fileno() == _STDERR:
            # What is still buffered would fail again at the end of the process, and change the exit code.
            os.dup2(os.open(os.devnull, os.O_WRONLY), _STDERR)


def _is_stdout(stream: TextIO) -> bool:
    try:
        return stream.fileno() == _STDOUT
    except (OSError, ValueError):
        return False
