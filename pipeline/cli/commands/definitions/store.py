"""`pipeline definitions store`."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.cli import options
from pipeline.cli.argument_types import PATH
from pipeline.cli.backends import open_backend
from pipeline.cli.show.output import Messages, print_json
from pipeline.definitions import load_definition


@click.command()
@click.argument("path", metavar="FILE", type=PATH)
@click.option(
    "--if-version", metavar="VERSION", help="Refuse if another version was stored meanwhile; `none`: if any was."
)
@options.as_json
def store(path: str, if_version: str | None, as_json: bool) -> None:
    """Store the definition in FILE under its name.

    Requests to `pipeline serve` can name it from then on. It is checked as at submission. A server refuses a definition
    with files or functions of this machine.

    \b
    Examples:
      pipeline definitions store tickets.toml
      pipeline definitions store tickets.toml --if-version 4f1a9c2b7d80
    """
    definition = load_definition(Path(path).expanduser())
    with open_backend(may_create=True) as backend:
        found = backend.store_definition(definition, if_version)
    if as_json:
        print_json(found)
        return
    what = "stored" if found["is_new"] else "replaced"
    Messages().info(f"{what} {found['name']}@{found['version']}")
