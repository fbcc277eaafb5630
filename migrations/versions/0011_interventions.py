"""Who paused, resumed, cancelled or replayed a batch, and who enabled or disabled an endpoint.

Nothing is known about what was done before this version.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.create_table(
        "interventions",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False),
        sa.Column("batch_id", sa.BigInteger(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False, comment="pause, resume, cancel or replay"),
        sa.Column("actor", sa.Text(), nullable=False, comment="user@host, or key:NAME over HTTP"),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("affected", sa.BigInteger(), nullable=True, comment="items that were replayed"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_interventions")),
        comment="What people did to batches",
    )
    op.create_index("ix_interventions_batch_id_id", "interventions", ["batch_id", "id"])
    op.add_column("notices", sa.Column("actor", sa.Text(), nullable=True, comment="who did it; null: pipeline"))
