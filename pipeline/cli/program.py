"""The main command: imports a subcommand when it is called, and turns every error into a message and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Any, NoReturn

import click

from pipeline.cli import error_report, streams
from pipeline.cli.argument_types import check_texts
from pipeline.errors import InvalidSettings

_PACKAGE = "pipeline.cli.commands"
#: The setting that names a server. Spelled here, since the settings take long to import.
SERVER_URL = "PIPELINE_SERVER_URL"
#: Commands that need neither a database nor a server.
_WITHOUT_STORE = frozenset({"secret", "listen", "peek", "train", "evaluate"})
#: Commands that ask `open_backend` what to work on.
_OF_BOTH = frozenset({"status", "show", "dead", "deliveries", "endpoints", "definitions"})
#: Subcommands of these that need the database all the same.
_OF_DATABASE = frozenset({"deliveries send"})
#: The modules in `pipeline.cli.remote` of the other commands that also work with a server.
_REMOTE = {
    **{name: name for name in ("run", "submit", "watch", "results", "doctor")},
    **dict.fromkeys(("pause", "resume", "cancel"), "control"),
}
#: Commands that print no data: their standard output is left as it is.
_SERVERS = frozenset({"worker", "flower"})


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
        return _load(cmd_name)

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
        streams.open_closed_streams()
        streams.escape_unencodable()
        options["standalone_mode"] = False
        try:
            code = super().main(words, prog_name or "pipeline", **options)
        except Exception as error:
            code = error_report.report(error, as_json="--json" in words, debug="--debug" in words)
        sys.exit(code)


@cache
def _load(name: str) -> click.Command:
    """Import a command, and apply the rules for all commands: texts are valid, and standard output is for data."""
    command: click.Command = getattr(import_module(f"{_PACKAGE}.{name}"), name)
    check_texts(command)
    _follow_server(name, command)
    if name not in _SERVERS:
        _reserve_stdout(command)
    return command


def _follow_server(name: str, command: click.Command) -> None:
    """Let a command work with a server where the environment names one, or refuse to work on another store."""
    if isinstance(command, click.Group):
        for each in command.commands.values():
            _follow_server(f"{name} {each.name}", each)
        return
    top = name.partition(" ")[0]
    if top in _WITHOUT_STORE or (top in _OF_BOTH and name not in _OF_DATABASE):
        return
    local = command.callback

    def callback(*args: Any, **options: Any) -> Any:
        assert local is not None
        if not os.environ.get(SERVER_URL):
            return local(*args, **options)
        module = _REMOTE.get(name)
        if module is None:
            raise InvalidSettings(f"`pipeline {name}` works on a database; unset {SERVER_URL}")
        return getattr(import_module(f"pipeline.cli.remote.{module}"), name)(**options)

    command.callback = callback


def _reserve_stdout(command: click.Command) -> None:
    if isinstance(command, click.Group):
        for each in command.commands.values():
            _reserve_stdout(each)
    elif command.callback is not None:
        # Not earlier: what the parser prints, such as help, is data as well.
        command.callback = streams.reserve_stdout()(command.callback)
