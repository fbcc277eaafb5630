"""Intakes: queues and streams whose messages become items of batches that stay open while they grow.

The states of batches get one more, for which SQLite copies the table.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_OPEN = sa.text("batch_id IS NOT NULL")
_STATES = "state IN ('accepting', 'open', 'running', 'paused', 'completed', 'cancelled')"
_INTAKE = sa.Column(
    "intake_id", sa.BigInteger(), nullable=True, comment="the intake that fills it; null: it was submitted"
)


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        _rewrite_batches()
    else:
        op.add_column("batches", _INTAKE)
        op.drop_constraint(op.f("ck_batches_state"), "batches", type_="check")
        op.create_check_constraint(op.f("ck_batches_state"), "batches", _STATES)
    _keep_intakes()
    _keep_what_was_received()


def _rewrite_batches() -> None:
    connection = op.get_bind()
    # The id of a pruned batch is never given again: its items may still be there.
    last = connection.scalar(sa.text("SELECT seq FROM sqlite_sequence WHERE name = 'batches'"))
    with op.batch_alter_table("batches", recreate="always", table_kwargs={"sqlite_autoincrement": True}) as table:
        table.add_column(_INTAKE)
        table.drop_constraint(op.f("ck_batches_state"), type_="check")
        table.create_check_constraint(op.f("ck_batches_state"), _STATES)
    connection.execute(sa.text("DELETE FROM sqlite_sequence WHERE name = 'batches'"))
    if last is not None:
        connection.execute(sa.text("INSERT INTO sqlite_sequence (name, seq) VALUES ('batches', :last)"), {"last": last})


def _keep_intakes() -> None:
    op.create_table(
        "intakes",
        sa.Column("id", _ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False, comment="where its messages come from; no credentials"),
        sa.Column("definition_id", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("options", sa.Text(), nullable=False, comment="JSON; when its batches are sealed, and so on"),
        sa.Column(
            "batch_id",
            sa.BigInteger(),
            nullable=True,
            comment="its open batch, unless somebody paused or cancelled that; null: none",
        ),
        sa.Column(
            "next_position",
            sa.BigInteger(),
            nullable=False,
            server_default="1",
            comment="of that batch's next item",
        ),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False, server_default="0", comment=comment)
            for name, comment in (
                ("accepted", "items"),
                ("duplicates", "messages received again"),
                ("rejected", "messages that cannot be items"),
                ("skipped", "messages without a body"),
                ("gaps", "times that messages were gone unread"),
            )
        ),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("last_message_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("state IN ('running', 'paused', 'failed')", name=op.f("ck_intakes_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_intakes")),
        sa.UniqueConstraint("name", name=op.f("uq_intakes_name")),
        comment="Queues and streams whose messages become items",
        sqlite_autoincrement=True,
    )
    op.create_index("ix_intakes_open", "intakes", ["batch_id"], postgresql_where=_OPEN, sqlite_where=_OPEN)


def _keep_what_was_received() -> None:
    op.create_table(
        "intake_positions",
        sa.Column("intake_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("partition", sa.Text(), nullable=False),
        sa.Column("next_offset", sa.Text(), nullable=False, comment="every message below is accepted; sorts as text"),
        sa.PrimaryKeyConstraint("intake_id", "partition", name=op.f("pk_intake_positions")),
        comment="How far the partitions of an intake are accepted",
    )
    op.create_table(
        "intake_seen",
        sa.Column("intake_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("intake_id", "message_id", name=op.f("pk_intake_seen")),
        comment="Ids of accepted messages of sources without offsets",
    )
    op.create_index("ix_intake_seen_seen_at", "intake_seen", ["seen_at"])
    op.create_table(
        "intake_rejects",
        sa.Column("id", _ID, nullable=False),
        sa.Column("intake_id", sa.BigInteger(), nullable=False),
        sa.Column("batch_id", sa.BigInteger(), nullable=True, comment="the batch that was open then; null: none was"),
        sa.Column("partition", sa.Text(), nullable=True),
        sa.Column("offset", sa.Text(), nullable=True),
        sa.Column("message_id", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False, comment="as received, cut to 256 KiB"),
        sa.Column("rejected_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_intake_rejects")),
        comment="Messages that cannot be items",
    )
    op.create_index("ix_intake_rejects_intake_id_id", "intake_rejects", ["intake_id", "id"])
    op.create_index("ix_intake_rejects_rejected_at", "intake_rejects", ["rejected_at"])
