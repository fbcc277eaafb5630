"""Definitions by name: those in the folder of definitions, and those that tenants stored over HTTP."""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from pipeline.batches.prepare import prepare
from pipeline.batches.sql import definitions as versions
from pipeline.batches.sql import named_definitions as sql
from pipeline.context import Context
from pipeline.database.row import Row
from pipeline.definitions import Definition, from_content, from_tables, load_definition, to_content
from pipeline.definitions.find_definition import definitions_by_name, find_definition
from pipeline.domain.bounds import invalid, shown
from pipeline.domain.did_you_mean import hint
from pipeline.domain.tenant import DEFAULT_TENANT
from pipeline.errors import NotFound

_CHARACTERS = frozenset(string.ascii_letters + string.digits + "._-")
_MAX_LENGTH = 100
#: What content has beside the tables: where the definition was, and what its files were.
_PLACE = ("folder", "files")

#: Called with the version that a name means before it changes, None if it means none; raises to refuse the change.
Check = Callable[[str | None], None]


@dataclass(frozen=True, slots=True)
class NamedDefinition:
    """What a name means.

    Args:
        tenant: whose it is; None: everybody's, a file in the folder of definitions.
        version: None in lists for a file, which is not read for them.
        tables: as in a file; None in lists.
        updated_at: when it was stored; None for a file.
    """

    name: str
    tenant: str | None
    version: str | None
    tables: Mapping[str, Any] | None = None
    updated_at: datetime | None = None

    @property
    def is_file(self) -> bool:
        return self.tenant is None


def resolve(context: Context, name: str, tenant: str) -> Definition:
    """Return the definition that a name means to a tenant: a file in the folder, else what the tenant stored.

    A name is never a path.

    Raises:
        NotFound: there is none; the message suggests the closest.
        InvalidDefinition: the file is invalid, or this release cannot read what is stored.
    """
    path = _files(context).get(name)
    if path is not None:
        return load_definition(path)
    with context.database.read() as connection:
        row = sql.find(connection, tenant, name) if _is_name(name) else None
    if row is None:
        raise NotFound(f"there is no definition {shown(name)}{_advice(context, name, tenant)}")
    return from_content(orjson.loads(row["content"]))


def find_local(context: Context, name: str) -> Definition:
    """Return the definition that a name or path means on this machine: a file, else what was stored for `default`.

    Raises:
        NotFound: there is none; the message lists the files.
        InvalidDefinition: the file is invalid, or this release cannot read what is stored.
    """
    try:
        return find_definition(name, context.settings.definitions)
    except NotFound:
        with context.database.read() as connection:
            row = sql.find(connection, DEFAULT_TENANT, name) if _is_name(name) else None
        if row is None:
            raise
        return from_content(orjson.loads(row["content"]))


def _advice(context: Context, name: str, tenant: str) -> str:
    """Return what to do about a name that means nothing."""
    found = hint(name, known_names(context, tenant))
    if found or not _is_name(name):
        return found
    place = "the folder it was started in" if context.settings.definitions is None else "its PIPELINE_DEFINITIONS"
    return f"; the server looks for {name}.toml in {place}, and PUT /v1/definitions/{name} stores one"


def known_names(context: Context, tenant: str) -> list[str]:
    """Return the names that mean a definition to a tenant."""
    return sorted({each.name for each in every(context, tenant)})


def is_file(context: Context, name: str) -> bool:
    """Return whether a name means a file in the folder of definitions, for everybody."""
    return name in _files(context)


def every(context: Context, tenant: str | None) -> list[NamedDefinition]:
    """Return what is in the folder and what a tenant, or everybody, stored, by name; without tables."""
    with context.database.read() as connection:
        stored = sql.find_all(connection, tenant)
    files = _files(context)
    found = [NamedDefinition(name, None, None) for name in files]
    found += [
        NamedDefinition(row["name"], row["tenant"], row["version"], updated_at=row["updated_at"])
        for row in stored
        if row["name"] not in files
    ]
    return sorted(found, key=lambda each: (each.name, each.tenant or ""))


def find(context: Context, name: str, tenant: str, version: str | None = None) -> NamedDefinition:
    """Return what a name means to a tenant, or meant when a batch of the tenant was submitted.

    Args:
        version: None: what it means now.

    Raises:
        NotFound: there is no such definition or version. Another tenant's is answered in the same words.
        InvalidDefinition: the file is invalid.
    """
    path = _files(context).get(name)
    row = None
    with context.database.read() as connection:
        if path is None and _is_name(name):
            row = sql.find(connection, tenant, name)
        used = None if version is None else sql.find_used(connection, tenant, name, version)
    found = _from_file(name, path) if path is not None else _from_row(row, tenant)
    if version is not None and (found is None or found.version != version):
        found = _from_row(used, None if path is not None else tenant)
    if found is None:
        of_version = "" if version is None else f" with the version {shown(version)}"
        raise NotFound(f"there is no definition {shown(name)}{of_version}{hint(name, known_names(context, tenant))}")
    return found


def read(context: Context, tables: Mapping[str, Any]) -> Definition:
    """Return the definition that is made of tables from outside, ready to run.

    Raises:
        InvalidDefinition: it is invalid, or cannot be run.
    """
    definition = from_tables(tables, folder=_folder(context), source="the definition")
    prepare(context, definition)
    return definition


def store(context: Context, tenant: str, definition: Definition, *, key_id: str | None, check: Check) -> bool:
    """Let a definition's name mean it from now on. Running batches keep theirs. Return whether the name is new.

    Args:
        key_id: the API key that stores it.
        check: sees the version that the name means until now.

    Raises:
        InvalidArgument: the name cannot be used.
    """
    name, version, now = check_name(definition.name), definition.version, context.now()
    named: dict[str, Any] = {"tenant": tenant, "name": name, "version": version, "key_id": key_id, "now": now}
    while True:
        with context.database.write() as connection:
            versions.store(
                connection,
                name=name,
                version=version,
                content=to_content(definition),
                stages=",".join(definition.stages),
                now=now,
            )
            before = sql.lock(connection, tenant, name)
            check(before)
            if before is not None:
                sql.change(connection, **named)
                return False
            if sql.add(connection, **named):
                return True
        # Another call stored the name first: this one changes it, if `check` lets it.


def remove(context: Context, tenant: str, name: str, *, check: Check) -> None:
    """Let a name mean nothing. Running batches keep their definition.

    Raises:
        NotFound: it means nothing already.
    """
    with context.database.write() as connection:
        before = sql.lock(connection, tenant, name) if _is_name(name) else None
        if before is None:
            raise NotFound(f"there is no definition {shown(name)}")
        check(before)
        sql.remove(connection, tenant, name)


def check_name(name: str) -> str:
    """Return the name of a definition if one can be stored under it.

    Raises:
        InvalidArgument: it cannot.
    """
    if not _is_name(name):
        raise invalid("name", name, f"1 to {_MAX_LENGTH} letters, digits, '.', '_' or '-'")
    return name


def _is_name(name: str) -> bool:
    return 0 < len(name) <= _MAX_LENGTH and _CHARACTERS.issuperset(name)


def _folder(context: Context) -> Path:
    return context.settings.definitions or Path()


def _files(context: Context) -> dict[str, Path]:
    return definitions_by_name(_folder(context))


def _from_file(name: str, path: Path) -> NamedDefinition:
    definition = load_definition(path)
    return NamedDefinition(name, None, definition.version, _tables(to_content(definition)))


def _from_row(row: Row | None, tenant: str | None) -> NamedDefinition | None:
    if row is None:
        return None
    tables = _tables(orjson.loads(row["content"]))
    return NamedDefinition(row["name"], tenant, row["version"], tables, row.get("updated_at"))


def _tables(content: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in content.items() if name not in _PLACE}
