"""Batches that are pruned: the batch goes first, what hangs on it after it.

Hence items and events refer to batches without a foreign key, as deliveries do. Its check of a batch that is deleted
would read all items, since no index leads from a batch to all of them; and it was made for each row that is stored.
SQLite has to copy the tables for that; on PostgreSQL nothing is rewritten.
"""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        # Those that refer first: the table they refer to may only be dropped when none does.
        for table in ("items", "events"):
            _copy(table, _without_reference)
        _copy("batches", _without_reuse)
    else:
        for table in ("items", "events"):
            op.drop_constraint(f"fk_{table}_batch_id", table, type_="foreignkey")
    op.create_index("ix_batches_definition", "batches", ["definition_id"])
    op.create_table(
        "pruned",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False, comment="id of the deleted batch"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pruned")),
        comment="Deleted batches whose items, events and deliveries are still being deleted",
    )


def _copy(table: str, change: Callable[[str, str], str]) -> None:
    """Put a table in the place of another, with a definition that `change` makes of its own."""
    connection = op.get_bind()
    query = "SELECT sql FROM sqlite_master WHERE tbl_name = ? AND type = ? AND sql IS NOT NULL"
    (definition,) = connection.exec_driver_sql(query, (table, "table")).scalars()
    indexes = connection.exec_driver_sql(query, (table, "index")).scalars().all()
    _, _, columns = change(table, definition).partition("(")
    for statement in (
        f"CREATE TABLE new_{table} ({columns}",
        f"INSERT INTO new_{table} SELECT * FROM {table}",
        f"DROP TABLE {table}",
        f"ALTER TABLE new_{table} RENAME TO {table}",
        *indexes,
    ):
        connection.exec_driver_sql(statement)


def _without_reference(table: str, definition: str) -> str:
    begin, end = definition.index(f"CONSTRAINT fk_{table}_batch_id"), "REFERENCES batches (id)"
    before, behind = definition[:begin].rstrip(), definition[definition.index(end, begin) + len(end) :]
    return before.removesuffix(",") + behind


def _without_reuse(table: str, definition: str) -> str:
    """Give no id a second time: what hangs on a batch that is gone may be there for a while."""
    key = f"CONSTRAINT pk_{table} PRIMARY KEY"
    before, _, behind = definition.partition(f"{key} (id),")
    return before.replace("id INTEGER NOT NULL", f"id INTEGER NOT NULL {key} AUTOINCREMENT", 1) + behind.lstrip()
