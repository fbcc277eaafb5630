"""Optional parts of the package."""

from __future__ import annotations

from pipeline.errors import InvalidDefinition


def missing(extra: str, use: str, error: ImportError) -> InvalidDefinition:
    """Return the error to raise where the package behind `use = "…"` cannot be imported."""
    return InvalidDefinition(f"use = \"{use}\" needs {error.name or error}: pip install 'pipeline[{extra}]'")
