"""The reference of every command, made of their help: `python -m pipeline.cli.reference > docs/reference/cli.md`."""

from __future__ import annotations

from collections.abc import Iterator

import click

from pipeline.cli import main

_WIDTH = 100

_HEAD = """# Command line

This page is made of what `--help` says: `python -m pipeline.cli.reference > docs/reference/cli.md`.
"""


def commands(command: click.Command, path: tuple[str, ...] = ("pipeline",)) -> Iterator[tuple[str, click.Command]]:
    """Yield each command with its full name, groups before what is in them."""
    yield " ".join(path), command
    if isinstance(command, click.Group):
        with click.Context(command) as ctx:
            for name in command.list_commands(ctx):
                found = command.get_command(ctx, name)
                if found is not None:
                    yield from commands(found, (*path, name))


def page() -> str:
    """Return the page as Markdown."""
    return "\n".join([_HEAD, *(_section(name, command) for name, command in commands(main))])


def _section(name: str, command: click.Command) -> str:
    with click.Context(command, info_name=name, terminal_width=_WIDTH, max_content_width=_WIDTH) as ctx:
        return f"## {name}\n\n```text\n{command.get_help(ctx)}\n```\n"


if __name__ == "__main__":
    click.echo(page(), nl=False)
