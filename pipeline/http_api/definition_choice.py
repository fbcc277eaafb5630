"""The definition that a request names or contains."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.access.caller import Caller
from pipeline.batches import named_definitions
from pipeline.context import Context
from pipeline.definitions import Definition, from_tables
from pipeline.domain.did_you_mean import nearest
from pipeline.errors import NotFound
from pipeline.http_api.problems import Problem
from pipeline.http_api.remote_definitions import check_remote_definition


def choose_definition(context: Context, caller: Caller, given: str | Mapping[str, Any]) -> Definition:
    """Return a definition by its name, or made of the tables that a request contains.

    Raises:
        Problem: not_found, or definition_not_allowed: its tables could run code or read files.
        InvalidDefinition: it is invalid.
    """
    if isinstance(given, str):
        return _named(context, given, caller.submits_as)
    check_remote_definition(caller, given, "definition")
    return from_tables(given, folder=context.settings.definitions or Path(), source="the definition")


def _named(context: Context, name: str, tenant: str) -> Definition:
    try:
        return named_definitions.resolve(context, name, tenant)
    except NotFound as error:
        found = nearest(name, named_definitions.known_names(context, tenant))
        members: dict[str, Any] = {} if found is None else {"nearest": found}
        raise Problem("not_found", str(error), **members) from None
