"""Generate the command reference from the help texts: `python -m pipeline.cli.reference > docs/reference/cli.md`."""

from __future__ import annotations

from collections.abc import Iterator

import click

from pipeline.cli import main

_WIDTH = 100

_HEAD = """# Command line

This page is generated from the help texts: `python -m pipeline.cli.reference > docs/reference/cli.md`.
"""


def walk_commands(command: click.Command, path: tuple[str, ...] = ("pipeline",)) -> Iterator[tuple[str, click.Command]]:
    """Yield the full name of each command and the command; a group comes before its subcommands."""
    yield " ".join(path), command
    if isinstance(command, click.Group):
        with click.Context(command) as ctx:
            for name in command.list_commands(ctx):
                subcommand = command.get_command(ctx, name)
                if subcommand is not None:
                    yield from walk_commands(subcommand, (*path, name))


def reference_page() -> str:
    """Return the reference page as Markdown."""
    return "\n".join([_HEAD, *(_section(name, command) for name, command in walk_commands(main))])


def _section(name: str, command: click.Command) -> str:
    with click.Context(command, info_name=name, terminal_width=_WIDTH, max_content_width=_WIDTH) as ctx:
        return f"## {name}\n\n```text\n{command.get_help(ctx)}\n```\n"


if __name__ == "__main__":
    click.echo(reference_page(), nl=False)
