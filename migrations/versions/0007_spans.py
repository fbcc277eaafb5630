"""Fresh items released by range: `spans`, and `unreleased`, where the rest of a batch begins.

Open batches continue at their first item that was never released. Items that were released and whose messages are
still in the broker are queued, and claimed by row as before. A batch that a program of the version before accepts after
the migration has no `last_position`; the sweeps give it one.

A first attempt that succeeds stands on its delivery, without a row in `attempts`. Adding columns without a default
rewrites no table; deliveries of before keep the rows of their attempts.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_POSITIONS_PER_BATCH = 2**32
_ATTEMPTS = "Attempts, except those that succeeded at a stage or as the first at a delivery: these stand there"


def upgrade() -> None:
    _release_by_span()
    _keep_first_successes_on_deliveries()


def _release_by_span() -> None:
    op.add_column(
        "batches",
        sa.Column(
            "last_position",
            sa.BigInteger(),
            nullable=True,
            comment="null: not accepted yet, or completed before there were spans",
        ),
    )
    op.create_table(
        "unreleased",
        sa.Column("batch_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "first",
            sa.BigInteger(),
            nullable=False,
            comment="the next position to release, up to the batch's last one",
        ),
        sa.PrimaryKeyConstraint("batch_id", name=op.f("pk_unreleased")),
        comment="Batches with positions that were never released",
    )
    op.create_table(
        "spans",
        sa.Column("batch_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("first", sa.BigInteger(), autoincrement=False, nullable=False, comment="first position"),
        sa.Column("last", sa.BigInteger(), nullable=False, comment="last position"),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "worker",
            sa.Text(),
            nullable=True,
            comment="process whose memory holds the messages; null: a broker does",
        ),
        sa.PrimaryKeyConstraint("batch_id", "first", name=op.f("pk_spans")),
        comment="Positions released together; an item of one is pending until a worker claims it",
    )
    op.execute(
        "UPDATE batches SET last_position = (SELECT i.position FROM items i "
        f"WHERE i.id BETWEEN batches.id * {_POSITIONS_PER_BATCH} AND (batches.id + 1) * {_POSITIONS_PER_BATCH} - 1 "
        "ORDER BY i.id DESC LIMIT 1) WHERE completed_at IS NULL AND state <> 'accepting'"
    )
    fresh = "SELECT i.position FROM items i WHERE i.batch_id = b.id AND i.state = 'pending' AND i.due_at IS NULL"
    op.execute(
        f"INSERT INTO unreleased (batch_id, first) SELECT b.id, ({fresh} ORDER BY i.id LIMIT 1) FROM batches b "
        f"WHERE b.completed_at IS NULL AND b.state IN ('running', 'paused') AND EXISTS ({fresh})"
    )
    op.drop_index("ix_items_fresh", "items")


def _keep_first_successes_on_deliveries() -> None:
    op.add_column(
        "deliveries",
        sa.Column(
            "started_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="start of its first attempt, if that succeeded; null: see attempts",
        ),
    )
    op.add_column(
        "deliveries",
        sa.Column("answer", sa.Text(), nullable=True, comment="first bytes of the response to that attempt"),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.create_table_comment("attempts", _ATTEMPTS)
