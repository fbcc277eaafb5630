"""The definition that a request names or contains."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.access.caller import Caller
from pipeline.context import Context
from pipeline.definitions import Definition, from_tables, load_definition
from pipeline.definitions.find_definition import definitions_by_name
from pipeline.domain.api_key import Scope
from pipeline.domain.bounds import shown
from pipeline.domain.did_you_mean import nearest
from pipeline.http_api.problems import Problem


def choose_definition(context: Context, caller: Caller, given: str | Mapping[str, Any]) -> Definition:
    """Return a definition by its name, or made of the tables that a request contains.

    A name is never a path: it is looked up among the names of the definitions in the folder of definitions.

    Raises:
        Problem: not_found, or definition_not_allowed: its tables could run code or read files.
        InvalidDefinition: it is invalid.
    """
    folder = context.settings.definitions or Path()
    if isinstance(given, str):
        return load_definition(_named(folder, given))
    check_remote_definition(caller, given)
    return from_tables(given, folder=folder, source="the definition")


def check_remote_definition(caller: Caller, tables: Mapping[str, Any]) -> None:
    """Refuse the tables of a definition that its sender may not run here.

    Raises:
        Problem: definition_not_allowed.
    """
    if Scope.ADMIN not in caller.scopes:
        detail = "a definition in a request could run code and read files, which needs a key with the scope admin"
        errors = [{"pointer": "#/definition", "detail": detail}]
        raise Problem("definition_not_allowed", f"{detail}; name a definition of this server instead", errors=errors)


def _named(folder: Path, name: str) -> Path:
    known = definitions_by_name(folder)
    if name in known:
        return known[name]
    found = nearest(name, known)
    members: dict[str, Any] = {} if found is None else {"nearest": found}
    suggestion = "" if found is None else f"; did you mean {found!r}?"
    raise Problem("not_found", f"there is no definition {shown(name)}{suggestion}", **members)
