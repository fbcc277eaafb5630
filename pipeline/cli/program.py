"""The program: finds commands without importing them all, and turns every error into a message and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple, NoReturn

import click

from pipeline.cli import error_report
from pipeline.cli.show import output


class Entry(NamedTuple):
    """Where a command is (`module:attribute`), and its line in the overview."""

    place: str
    help: str


class Program(click.Group):
    """A group whose commands are imported when they are called."""

    def __init__(self, *args: Any, sections: Mapping[str, Mapping[str, Entry]], **options: Any) -> None:
        super().__init__(*args, **options)
        self._sections = sections
        self._entries = {name: entry for section in sections.values() for name, entry in section.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self._entries.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.place.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:
            raise click.NoSuchCommand(error.command_name, possibilities=self.list_commands(ctx), ctx=ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, self._entries))
        for title, entries in self._sections.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), entry.help) for name, entry in entries.items()])

    def main(  # type: ignore[override]  # it always exits
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **options: Any
    ) -> NoReturn:
        """Run, and exit with the code of what happened. Commands return their code; None is 0."""
        words = list(sys.argv[1:] if args is None else args)
        output.accept_any_text()
        options["standalone_mode"] = False
        try:
            code = super().main(words, prog_name or "pipeline", **options)
        except Exception as error:
            code = error_report.report(error, as_json="--json" in words, debug="--debug" in words)
        sys.exit(code)
