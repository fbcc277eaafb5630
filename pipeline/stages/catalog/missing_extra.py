"""The error for an optional dependency that is not installed."""

from __future__ import annotations

from pipeline.errors import InvalidDefinition


def missing_extra(extra: str, use: str, error: ImportError) -> InvalidDefinition:
    """Return the error to raise if `use = "…"` needs a package that cannot be imported."""
    return InvalidDefinition(f"use = \"{use}\" needs {error.name or error}: pip install 'pipeline[{extra}]'")
