"""The main command: imports a subcommand when it is called, and turns every error into a message and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, NoReturn

import click

from pipeline.cli import error_report
from pipeline.cli.argument_types import check_texts
from pipeline.cli.show import output

_PACKAGE = "pipeline.cli.commands"


class Program(click.Group):
    """A group that imports the module of a command when the command is called.

    The command `NAME` is the attribute `NAME` of the module `pipeline.cli.commands.NAME`.
    """

    def __init__(self, *args: Any, sections: Mapping[str, Mapping[str, str]], **options: Any) -> None:
        """Create the group; `sections` maps each heading of the help to its commands and their summaries."""
        super().__init__(*args, **options)
        self._sections = sections
        self._names = [name for commands in sections.values() for name in commands]

    def list_commands(self, ctx: click.Context) -> list[str]:
        return self._names

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._names:
            return None
        command: click.Command = getattr(import_module(f"{_PACKAGE}.{cmd_name}"), cmd_name)
        check_texts(command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:
            raise click.NoSuchCommand(error.command_name, possibilities=self._names, ctx=ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, self._names))
        for heading, commands in self._sections.items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(width), summary) for name, summary in commands.items()])

    def main(  # type: ignore[override]  # it always exits
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **options: Any
    ) -> NoReturn:
        """Run the command line and exit. A command returns its exit code; None means 0."""
        words = list(sys.argv[1:] if args is None else args)
        output.escape_unencodable()
        options["standalone_mode"] = False
        try:
            code = super().main(words, prog_name or "pipeline", **options)
        except Exception as error:
            code = error_report.report(error, as_json="--json" in words, debug="--debug" in words)
        sys.exit(code)
