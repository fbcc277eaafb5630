"""Libraries that take long to import, and that few tests use: every process of a run imports every test module."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class Lazy:
    """A module that is imported when something of it is first asked for."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            # Pytest looks at whatever a module of tests has.
            raise AttributeError(name)
        return getattr(import_module(self._name), name)
