"""The version of pipeline."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def installed_version() -> str:
    """Return the installed version."""
    try:
        return version("pipeline")
    except PackageNotFoundError:
        return "unknown (running from a checkout)"
