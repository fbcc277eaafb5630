"""The version of pipeline."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

import click


def installed_version() -> str:
    """Return the installed version."""
    try:
        return version("pipeline")
    except PackageNotFoundError:
        return "unknown (running from a checkout)"


def print_version(ctx: click.Context, _parameter: click.Parameter, is_requested: bool) -> None:
    """Print the version and exit, if requested: the callback of `--version`."""
    if is_requested and not ctx.resilient_parsing:
        click.echo(f"pipeline {installed_version()}")
        ctx.exit()
