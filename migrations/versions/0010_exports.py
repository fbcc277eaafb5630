"""Exports: places that the results of a batch are written to in bulk, and the files of each."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_RUNNING = sa.text("state = 'running'")
_PLANNED = sa.text("state = 'planned'")


def upgrade() -> None:
    _keep_exports()
    _keep_parts()


def _keep_exports() -> None:
    op.create_table(
        "exports",
        sa.Column("id", _ID, nullable=False),
        sa.Column("batch_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False, comment="from 1; its place among the exports of its batch"),
        sa.Column("target", sa.Text(), nullable=False, comment="where to, with its options; no credentials"),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column(
            "next_seq", sa.BigInteger(), nullable=False, server_default="1", comment="first seq that is in no part"
        ),
        sa.Column("parts", sa.BigInteger(), nullable=False, server_default="0", comment="stored parts"),
        sa.Column(
            "rows", sa.BigInteger(), nullable=False, server_default="0", comment="results in them, or in the table"
        ),
        sa.Column(
            "completions", sa.Integer(), nullable=False, server_default="0", comment="times that it was complete"
        ),
        sa.Column(
            "attempts",
            sa.Integer(),
            nullable=False,
            server_default="0",
            comment="failed attempts since the last success",
        ),
        sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False, comment="earliest next attempt"),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state IN ('running', 'complete', 'failed')", name=op.f("ck_exports_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exports")),
        comment="Places that the results of a batch are written to in bulk",
        sqlite_autoincrement=True,
    )
    op.create_index("uq_exports_batch", "exports", ["batch_id", "number"], unique=True)
    op.create_index("ix_exports_running", "exports", ["due_at"], postgresql_where=_RUNNING, sqlite_where=_RUNNING)


def _keep_parts() -> None:
    op.create_table(
        "export_parts",
        sa.Column("export_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "number",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="from 1, in the order of planning",
        ),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("first_seq", sa.BigInteger(), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.Column(
            "partition",
            sa.Text(),
            nullable=True,
            comment="value that its results have in common; null: unpartitioned",
        ),
        sa.Column("name", sa.Text(), nullable=False, comment="below the target"),
        sa.Column("rows", sa.BigInteger(), nullable=True, comment="null until it is stored, as the next two"),
        sa.Column("bytes", sa.BigInteger(), nullable=True),
        sa.Column("sha256", sa.Text(), nullable=True),
        sa.CheckConstraint("state IN ('planned', 'stored')", name=op.f("ck_export_parts_state")),
        sa.PrimaryKeyConstraint("export_id", "number", name=op.f("pk_export_parts")),
        comment="Files of an export: planned before they are written, so that each attempt writes the same",
    )
    op.create_index(
        "ix_export_parts_planned", "export_parts", ["export_id"], postgresql_where=_PLANNED, sqlite_where=_PLANNED
    )
