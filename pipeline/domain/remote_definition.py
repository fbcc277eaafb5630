"""Which definitions may come from outside: over HTTP, from a caller who does not administer the server.

A definition can name functions, which runs code, files and databases, which reads them, services, which are called from
inside the network, and variables of the environment. Only what does none of this is on the list. A new classifier or
enricher is forbidden until it is added here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

#: Built-ins that use nothing but the definition and the item.
ALLOWED: Mapping[str, frozenset[str]] = {
    "classify": frozenset({"keywords"}),
    "enrich": frozenset({"language", "contacts"}),
}
_VARIABLE = "${"
_SHOWN = 60


class ForbiddenPart(NamedTuple):
    """A part of a definition that may not come from outside.

    Args:
        path: of the value in the tables.
    """

    path: tuple[str | int, ...]
    reason: str


def find_forbidden(tables: Mapping[str, Any]) -> list[ForbiddenPart]:
    """Return the parts of a definition that may not come from outside, in order. The tables need not be valid."""
    return [*_forbidden_stages(tables), *_variables(tables)]


def _forbidden_stages(tables: Mapping[str, Any]) -> Iterator[ForbiddenPart]:
    for path, table in _stages(tables):
        use = table.get("use")
        allowed = ALLOWED[str(path[0])]
        if isinstance(use, str) and use not in allowed:
            reason = f"{use[:_SHOWN]!r} may run code, read files or call services; choose from {_listed(allowed)}"
            yield ForbiddenPart((*path, "use"), reason)


def _stages(tables: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], Mapping[str, Any]]]:
    """Yield the table of each classifier and enricher. What is neither a table nor a list of them is no definition."""
    for name in ALLOWED:
        value = tables.get(name)
        if isinstance(value, Mapping):
            yield (name,), value
        elif isinstance(value, list | tuple):
            yield from (((name, index), each) for index, each in enumerate(value) if isinstance(each, Mapping))


def _variables(tables: Mapping[str, Any]) -> Iterator[ForbiddenPart]:
    # Not recursive: a caller decides how deep it goes.
    waiting: list[tuple[tuple[str | int, ...], Any]] = [((), tables)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, str):
            if _VARIABLE in value:
                yield ForbiddenPart(path, "${…} reads the environment of the server")
        elif isinstance(value, Mapping):
            children = [((*path, str(name)), each) for name, each in value.items()]
            named = [((*path, str(name)), str(name)) for name in value if _VARIABLE in str(name)]
            waiting += reversed(children + named)
        elif isinstance(value, list | tuple):
            waiting += reversed([((*path, index), each) for index, each in enumerate(value)])


def _listed(names: frozenset[str]) -> str:
    return " or ".join(sorted(names))
