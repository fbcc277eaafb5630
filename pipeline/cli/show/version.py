"""Which version of pipeline this is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

import click


def own_version() -> str:
    """Return the installed version."""
    try:
        return version("pipeline")
    except PackageNotFoundError:
        return "unknown (run from a checkout)"


def print_version(ctx: click.Context, _parameter: click.Parameter, is_wanted: bool) -> None:
    """Print the version and end, where it is wanted."""
    if is_wanted and not ctx.resilient_parsing:
        click.echo(f"pipeline {own_version()}")
        ctx.exit()
