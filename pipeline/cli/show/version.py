"""The option `--version`."""

from __future__ import annotations

import click

from pipeline.version import installed_version


def print_version(ctx: click.Context, _parameter: click.Parameter, is_requested: bool) -> None:
    """Print the version and exit, if requested: the callback of `--version`."""
    if is_requested and not ctx.resilient_parsing:
        click.echo(f"pipeline {installed_version()}")
        ctx.exit()
