"""Definitions that were stored over HTTP, by tenant and name."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, Select, delete, select, update

from pipeline.database.dialect import dialect_of
from pipeline.database.row import Row, first, rows
from pipeline.database.tables import batches, definitions, named_definitions

_name = named_definitions.c


def find(connection: Connection, tenant: str, name: str) -> Row | None:
    """Return what a name means to a tenant now, with its content."""
    return first(connection.execute(_with_content().where(_name.tenant == tenant, _name.name == name)))


def find_all(connection: Connection, tenant: str | None) -> list[Row]:
    """Return the names of a tenant, or of all, without their content, by name."""
    query = select(named_definitions).order_by(_name.name, _name.tenant)
    return rows(connection.execute(query if tenant is None else query.where(_name.tenant == tenant)))


def find_used(connection: Connection, tenant: str, name: str, version: str) -> Row | None:
    """Return a version of a definition that a batch of a tenant was submitted with."""
    used = select(batches.c.id).where(batches.c.definition_id == definitions.c.id, batches.c.tenant == tenant)
    query = select(definitions).where(definitions.c.version == version, definitions.c.name == name, used.exists())
    return first(connection.execute(query))


def lock(connection: Connection, tenant: str, name: str) -> str | None:
    """Return the version that a name means now, and lock the row; None if there is none."""
    query = select(_name.version).where(_name.tenant == tenant, _name.name == name).with_for_update()
    found: str | None = connection.scalar(query)
    return found


def add(connection: Connection, *, tenant: str, name: str, version: str, key_id: str | None, now: datetime) -> bool:
    """Insert a name. Return False if another transaction has just done so."""
    row = {"tenant": tenant, "name": name, "version": version, "key_id": key_id, "updated_at": now}
    statement = dialect_of(connection).upsert(named_definitions).values(**row).on_conflict_do_nothing()
    return connection.scalar(statement.returning(_name.name)) is not None


def change(connection: Connection, *, tenant: str, name: str, version: str, key_id: str | None, now: datetime) -> None:
    """Let a locked name mean another version."""
    values = {"version": version, "key_id": key_id, "updated_at": now}
    chosen = _name.tenant == tenant, _name.name == name
    connection.execute(update(named_definitions).where(*chosen).values(**values))


def remove(connection: Connection, tenant: str, name: str) -> None:
    """Delete a name. The versions stay as long as batches use them."""
    connection.execute(delete(named_definitions).where(_name.tenant == tenant, _name.name == name))


def _with_content() -> Select[tuple[object, ...]]:
    query = select(named_definitions, definitions.c.content)
    return query.join(definitions, definitions.c.version == _name.version)
