"""Where the results of a command go: the options, checked before anything runs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from pipeline.cli import options
from pipeline.cli.streams import data_stream
from pipeline.errors import InvalidArgument
from pipeline.files import Layout, ResultWriter, open_writer
from pipeline.files.layout import parse_columns
from pipeline.files.output_file import check_target
from pipeline.files.output_format import choose_encoding

F = TypeVar("F", bound=Callable[..., Any])

_STDOUT = "-"

_OPTIONS = (
    click.option(
        "--columns",
        metavar="NAMES",
        help="Write only these values, such as key,label,confidence or enrichment.language.language.",
    ),
    click.option("--flat", is_flag=True, help="Write each value of an object by itself, under its path."),
    click.option("--with-payload", is_flag=True, help="Write each item's payload beside its result."),
)


def layout_options(command: F) -> F:
    """Add the options that say which values are written."""
    return options.with_options(_OPTIONS)(command)


@dataclass(frozen=True, slots=True)
class ResultOutput:
    """A file for results.

    Args:
        path: the file; `-` is standard output.
        format: its format; None: that of its suffix.
        layout: which values are written.
        format_option: what the command calls its option for the format.
    """

    path: str
    format: str | None
    layout: Layout
    format_option: str

    @property
    def is_stdout(self) -> bool:
        return self.path == _STDOUT

    @property
    def arguments(self) -> list[str]:
        """The options that ask for the same output, for a command in a message."""
        words = ["-o", self.path]
        words += [] if self.format is None else [self.format_option, self.format]
        words += ["--columns", ",".join(self.layout.columns)] if self.layout.columns else []
        words += ["--flat"] if self.layout.is_flat else []
        words += ["--with-payload"] if self.layout.with_payload else []
        return words

    def check(self) -> None:
        """Check what can be checked without writing.

        Raises:
            InvalidInput: the format is unknown or its extra is missing, or the path is that of no file.
        """
        choose_encoding(self.path, self.format).format.check_extra()
        if not self.is_stdout:
            check_target(self.path)

    def open(self) -> AbstractContextManager[ResultWriter]:
        """Open the writer of the results."""
        return open_writer(self.path, self.format, layout=self.layout, stdout=data_stream().buffer)


def make_output(
    path: str, format: str | None, columns: str | None, *, flat: bool, with_payload: bool, format_option: str
) -> ResultOutput:
    """Return the output that the options of a command ask for.

    Args:
        format_option: what the command calls its option for the format.

    Raises:
        InvalidInput: an option cannot be used.
    """
    try:
        layout = Layout(() if columns is None else parse_columns(columns), is_flat=flat, with_payload=with_payload)
        output = ResultOutput(path, format, layout, format_option)
        output.check()
    except InvalidArgument as error:
        raise error.with_names({"format": format_option, "columns": "--columns"}) from None
    return output
